//go:build unix

package main

import (
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	relaySize   = 128 << 20
	leastRounds = 3
	mostRounds  = 12
	relayGoal   = 0.8 // of socat's throughput
)

// A relay leads from a unix socket to a target through two processes.
type relay struct {
	name string
	path string
	best map[string]float64 // MB/s by direction
}

// TestSocat holds that two walves relay at least 0.8 times as fast as two
// socats. Both take turns in one run, and the best of each counts, so that a
// loaded machine slows both: if the first rounds miss the goal, more follow. The
// command is built as users build it, without the race detector.
func TestSocat(t *testing.T) {
	socat := needProgram(t, "socat", "socat")
	walve := filepath.Join(t.TempDir(), "walve")
	if out, err := program(t, "go", "build", "-o", walve, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	received := make(chan int64, 1)
	up := serveTCP(t, func(c *net.TCPConn) {
		n, _ := io.Copy(io.Discard, c)
		received <- n
	})
	down := serveTCP(t, func(c *net.TCPConn) { io.Copy(c, io.LimitReader(zeros{}, relaySize)) })

	relays := []*relay{{name: "socat"}, {name: "socat -b 64 KiB"}, {name: "walve"}}
	for _, r := range relays {
		r.path, r.best = shortTempDir(t), make(map[string]float64)
		for direction, target := range map[string]string{"up": up, "down": down} {
			middle, entry := filepath.Join(r.path, "m"+direction), filepath.Join(r.path, direction)
			args := [][]string{
				{"UNIX-LISTEN:" + middle + ",fork", "TCP:" + strings.TrimPrefix(target, "tcp://")},
				{"UNIX-LISTEN:" + entry + ",fork", "UNIX-CONNECT:" + middle},
			}
			program, flags := socat, []string(nil)
			switch r.name {
			case "socat -b 64 KiB":
				flags = []string{"-b", "65536"}
			case "walve":
				program = walve
				args = [][]string{
					{"listen", "-log", "none", "ws+unix://" + middle + ":/", target},
					{"dial", "-log", "none", "-listen", "unix:" + entry, "ws+unix://" + middle + ":/"},
				}
			}
			for i, listens := range []string{middle, entry} {
				startUntilEnd(t, exec.Command(program, append(flags, args[i]...)...))
				awaitSocket(t, listens)
			}
		}
	}

	ratio := func(direction string) float64 { return relays[2].best[direction] / relays[0].best[direction] }
	for round := range mostRounds {
		for _, r := range relays {
			r.measure(t, "up", func(c *net.UnixConn) {
				io.Copy(c, io.LimitReader(zeros{}, relaySize))
				c.CloseWrite()
				if n := <-received; n != relaySize {
					t.Errorf("%s: %d bytes arrived, want %d", r.name, n, relaySize)
				}
			})
			r.measure(t, "down", func(c *net.UnixConn) {
				if n, err := io.Copy(io.Discard, c); n != relaySize || err != nil {
					t.Errorf("%s: %d bytes came, %v, want %d", r.name, n, err, relaySize)
				}
			})
		}
		if t.Failed() || round+1 >= leastRounds && ratio("up") >= relayGoal && ratio("down") >= relayGoal {
			break
		}
	}
	for _, direction := range []string{"up", "down"} {
		for _, r := range relays {
			t.Logf("%s: %s %.0f MB/s", direction, r.name, r.best[direction])
		}
		if t.Logf("%s: %.2f of socat", direction, ratio(direction)); ratio(direction) < relayGoal {
			t.Errorf("%s: walve is slower than %.1f of socat in %d rounds", direction, relayGoal, mostRounds)
		}
	}
}

func (r *relay) measure(t *testing.T, direction string, transfer func(*net.UnixConn)) {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(r.path, direction))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	start := time.Now()
	transfer(c.(*net.UnixConn))
	rate := relaySize / time.Since(start).Seconds() / 1e6
	r.best[direction] = max(r.best[direction], rate)
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
