// Package set puts http2xconnect=1 into the environment variable GODEBUG. It
// imports so little, and its path sorts so early, that it is initialised before
// net/http and golang.org/x/net/http2, which look for it when they are: "given
// the list of all packages, sorted by import path, in each step the first
// uninitialized package in the list for which all imported packages (if any)
// are already initialized is initialized" (the Go specification, Program
// initialization).
package set

import (
	"os"
	"strings"
)

// Was and Had are GODEBUG before, as os.LookupEnv returned it.
var Was, Had = os.LookupEnv("GODEBUG")

// Now is what GODEBUG was set to; empty: it was left alone, because it says
// something about http2xconnect itself.
var Now = set()

func set() string {
	if strings.Contains(Was, "http2xconnect=") {
		return ""
	}
	now := "http2xconnect=1"
	if Was != "" {
		now = Was + "," + now
	}
	if os.Setenv("GODEBUG", now) != nil {
		return ""
	}
	return now
}
