package walve_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain runs the tests and then checks that the whole package has left no
// goroutine and no descriptor behind.
func TestMain(m *testing.M) {
	if s := os.Getenv(idleClientsEnv); s != "" {
		os.Exit(idleClients(s))
	}
	before := descriptors()
	code := m.Run()
	if left := leftBehind(before); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "left behind by the tests:\n%s", left)
		code = 1
	}
	os.Exit(code)
}

// leftBehind describes what is left, once the closing handshakes in the
// background have had their 5 s.
func leftBehind(before map[string]bool) (left string) {
	for range 70 {
		left = ownGoroutines()
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

// descriptors returns the open descriptors and what they are, where the system
// tells. What the runtime and net keep for good is left out: pollers, and pipes
// of splice.
func descriptors() map[string]bool {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	open := map[string]bool{}
	for _, e := range entries {
		target, err := os.Readlink(dir + "/" + e.Name())
		if err != nil || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "pipe:") {
			continue
		}
		open[e.Name()+" "+target] = true
	}
	return open
}
