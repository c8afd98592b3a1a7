//go:build race

package walve_test

// raceEnabled says that sync.Pool forgets at random, so that allocations are
// not to be counted.
const raceEnabled = true
