//go:build linux || darwin || freebsd

package main

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func start(t *testing.T, args ...string) *exampletest.Process {
	t.Helper()
	return exampletest.Start(t, append([]string{"-addr", "127.0.0.1:0", "-size", "4"}, args...)...)
}

// onWorkers returns clients with two workers, one with the first of them and
// some with the other.
func onWorkers(t *testing.T, site string) (one *client, others []*client) {
	t.Helper()
	ctx := bound(t)
	one = newClient(t, site)
	must(t, one.connect(ctx))
	// The system spreads connections at random.
	for len(others) < 3 {
		c := newClient(t, site)
		must(t, c.connect(ctx))
		if c.worker != one.worker {
			others = append(others, c)
		} else {
			c.conn.Close()
			c.conn = nil
		}
	}
	return one, others
}

// TestKill: a worker that is killed takes its own connections with it and no
// others, and its pages come back.
func TestKill(t *testing.T) {
	site := start(t)
	exampletest.CheckOrigin(t, site.URL, "messages?last=0")
	exampletest.CheckOrigin(t, site.URL, "file?from=0")
	ctx := bound(t)
	one, others := onWorkers(t, site.URL)
	must(t, one.publish(ctx, "before"))
	victim := one.worker
	must(t, kill(victim))
	site.Line(t, fmt.Sprintf("worker %d ended", victim))
	must(t, others[0].publish(ctx, "meanwhile"))
	must(t, one.publish(ctx, "after"))
	if one.lost != 1 || one.worker == victim {
		t.Errorf("lost %d connections, now with worker %d", one.lost, one.worker)
	}
	for _, c := range append(others, one) {
		must(t, c.until(ctx, 3))
		if want := []string{"before", "meanwhile", "after"}; !slices.Equal(c.texts, want) {
			t.Errorf("got %q, want %q", c.texts, want)
		}
	}
	for _, c := range others {
		if c.lost != 0 {
			t.Error("a connection with the other worker was lost")
		}
	}
	site.Line(t, "worker ") // a new one in its place
}

func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// rolling publishes while all workers are restarted, and has every client get
// everything once.
func rolling(t *testing.T, publisher *client, readers []*client, restart func()) {
	t.Helper()
	ctx := bound(t)
	// Until the workers have been replaced, and then a few.
	var texts []string
	restarted := make(chan bool)
	go func() {
		defer close(restarted)
		restart()
	}()
	for more := 20; more > 0; {
		text := fmt.Sprint("message ", len(texts))
		texts = append(texts, text)
		must(t, publisher.publish(ctx, text))
		select {
		case <-restarted:
			more--
		default:
		}
	}
	var wg sync.WaitGroup
	for _, c := range append(readers, publisher) {
		wg.Go(func() {
			if err := c.until(ctx, len(texts)); err != nil {
				t.Error(err)
			} else if !slices.Equal(c.texts, texts) {
				t.Errorf("got %d messages, not in order or not these %d", len(c.texts), len(texts))
			}
		})
	}
	wg.Wait()
	lost := 0
	for _, c := range readers {
		lost += c.lost
	}
	if lost < len(readers) {
		t.Errorf("%d readers were connected anew only %d times: nothing was tested", len(readers), lost)
	}
	t.Logf("%d messages, %d connections closed", len(texts), lost)
}

func TestRollingRestart(t *testing.T) {
	site := start(t)
	one, others := onWorkers(t, site.URL)
	publisher := newClient(t, site.URL)
	must(t, publisher.connect(bound(t)))
	rolling(t, publisher, append(others, one), func() {
		site.Signal(t, syscall.SIGHUP)
		site.Line(t, "all workers restarted")
	})
}

func TestPage(t *testing.T) {
	site := exampletest.Start(t, "-addr", "127.0.0.1:0", "-size", "16")
	relay := exampletest.NewRelay(t)
	relay.Hold(6 << 20) // of the picture
	relay.To(t, site.URL)
	tab := exampletest.Open(t, relay.URL)
	tab.WaitState("connected")
	tab.Wait(`document.getElementById("progress").value > 4e6`)
	tab.Type("#text", "one\r")
	tab.Wait(`document.getElementById("log").innerText === "1. one"`)
	tab.Screenshot("cluster")
	tab.CheckPhone()

	// Both connections are lost: their workers, who may be the same, are killed.
	workers := exampletest.Eval[[]int](tab, `["messages-worker", "file-worker"].map(id => parseInt(document.getElementById(id).textContent))`)
	slices.Sort(workers)
	for _, pid := range slices.Compact(workers) {
		must(t, kill(pid))
	}
	relay.Release()
	tab.Wait(`document.getElementById("reconnected").textContent >= 2`)
	tab.Type("#text", "two\r")
	tab.Wait(`document.getElementById("log").innerText.replace(/\s+/g, " ").trim() === "1. one 2. two"`)
	tab.Wait(`document.getElementById("lost").textContent === "0"`)
	tab.Wait(`"complete" in document.body.dataset`)
}
