package faults_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// holdRole holds connections: hold URL COUNT. For every line of its input, a
// number, it replaces so many of them, and ends with it.
func holdRole(args []string) error {
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	d := newDialer(0)
	conns := make([]*walve.Conn, count)
	if err := replace(d, args[0], conns, 0, count); err != nil {
		return err
	}
	fmt.Println("holding", count)
	next := 0
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		n, err := strconv.Atoi(input.Text())
		if err != nil {
			return err
		}
		if err := replace(d, args[0], conns, next, n); err != nil {
			return err
		}
		next += n
		fmt.Println("replaced", n)
	}
	for _, c := range conns {
		if err := roundTrip(c, []byte("goodbye")); err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

// replace has n connections, from first on, closed after an exchange and others
// in their place.
func replace(d *walve.Dialer, at string, conns []*walve.Conn, first, n int) error {
	var wg sync.WaitGroup
	const parallel = 32
	errs := make([]error, parallel)
	for w := range parallel {
		wg.Go(func() {
			for i := first + w; i < first+n; i += parallel {
				c := &conns[i%len(conns)]
				if *c != nil {
					errs[w] = errors.Join(errs[w], roundTrip(*c, []byte("goodbye")), (*c).Close())
				}
				var err error
				if *c, err = connect(d, at, timeout); err != nil {
					errs[w] = errors.Join(errs[w], err)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// held is how many connections TestLoad holds: descriptors are limited to 20,000
// a process, and goroutines of a program with the race detector to 8,128.
func held() int {
	switch {
	case !*long:
		return 300
	case raceEnabled:
		return 3000
	}
	return 18_000
}

// TestLoad: so many connections at a time, and their coming and going, in memory
// that does not grow behind the first round.
func TestLoad(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		if scheme == "wss" && *long {
			t.Skip("the long form is for ws")
		}
		held := held()
		if scheme == "wss" {
			held /= 3 // handshakes take long with the race detector
		}
		server, at := startEcho(t, scheme, 0)
		began := time.Now()
		client := start(t, "hold", at, strconv.Itoa(held))
		client.line(t, "holding")
		t.Logf("after %v: %v", time.Since(began).Round(time.Millisecond), server.memory(t))
		var warm memory
		began = time.Now()
		churn := held / 2
		for round := range either(3, 16) {
			_, err := fmt.Fprintln(client.stdin, churn)
			must(t, err)
			client.line(t, "replaced")
			// Those that are closed take their time to end.
			waitUntil(t, "the end of connections", func() bool { return server.memory(t).Conns == int64(held) })
			m := server.memory(t)
			if round == 1 {
				warm = m
			}
			if round > 1 && m.Bytes > warm.Bytes+warm.Bytes/10+2<<20 {
				t.Errorf("memory grows: %v, behind the warm-up %v", m, warm)
			}
			t.Logf("after %v and %d more connections: %v", time.Since(began).Round(time.Millisecond), (round+1)*churn, m)
		}
		client.end(t)
		waitUntil(t, "the end of connections", func() bool { return server.memory(t).Conns == 0 })
		t.Log("at the end:", server.memory(t))
		server.end(t)
	})
}
