//go:build !race

package walve_test

const raceEnabled = false
