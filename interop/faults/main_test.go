package faults_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

var long = flag.Bool("long", false, "run the long form of the tests, which takes minutes")

// timeout is when what hangs is given up; nothing is measured by it.
const timeout = time.Minute

// role in the environment has the test binary be a peer instead: see roles.
const role = "WALVE_FAULTS_ROLE"

// roles are what a process of its own can be, by name.
var roles = map[string]func(args []string) error{"serve": serveRole, "dial": dialRole}

// TestMain runs the tests, or a peer, and checks that they have left no
// goroutine and no descriptor behind.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "16") // they wait, most of the time
	run := m.Run
	if name := os.Getenv(role); name != "" {
		run = func() int {
			if err := errors.Join(beHost(), roles[name](flag.Args())); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
				return 1
			}
			return 0
		}
	}
	before := descriptors()
	code := run()
	if left := leftBehind(before); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "left behind:\n%s", left)
		code = 1
	}
	os.Exit(code)
}

// leftBehind describes what is left, once the closing handshakes in the
// background have had their 5 s, and those of processes that were stopped.
func leftBehind(before map[string]bool) (left string) {
	for range 150 {
		left = goroutines()
		for d := range descriptors() {
			if !before[d] {
				left += "descriptor " + d + "\n"
			}
		}
		if left == "" {
			return ""
		}
		time.Sleep(100 * time.Millisecond) // polls for the end; no result depends on how long
	}
	return left
}

// goroutines returns the stacks of those that run code of walve or of gRPC, but
// for the one that asks.
func goroutines() (stacks string) {
	buf := make([]byte, 16<<20)
	for i, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if i > 0 && (strings.Contains(g, "bodokaiser/walve") || strings.Contains(g, "google.golang.org/grpc")) {
			stacks += g + "\n\n"
		}
	}
	return stacks
}

// descriptors returns the open sockets, where the system tells.
func descriptors() map[string]bool {
	const dir = "/proc/self/fd/"
	entries, _ := os.ReadDir(dir)
	open := map[string]bool{}
	for _, e := range entries {
		if target, err := os.Readlink(dir + e.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			open[e.Name()+" "+target] = true
		}
	}
	return open
}

// need returns the path of a program, or skips the test without it; in CI, where
// .ci/run has installed it, the test fails.
func need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
	return ""
}

// bound ends what hangs. The long form does ten times as much and more, beside
// 18,000 connections.
func bound(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), either(timeout, 10*timeout))
	t.Cleanup(cancel)
	return ctx
}

// either returns the number for the short form or that for the long one.
func either[T any](short, longer T) T {
	if *long {
		return longer
	}
	return short
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
