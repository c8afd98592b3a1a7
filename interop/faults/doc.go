// Package faults holds tests that run walve over networks, and with peers, that
// fail: what RELIABILITY.md promises. By default they take a short form; with
// the flag -long of the test binary they take minutes. Its dependencies are kept
// out of the module walve.
package faults
