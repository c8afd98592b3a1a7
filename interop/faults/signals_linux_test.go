package faults_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// running starts a server in a process of its own, a proxy in front of it, and a
// load of endless transfers, and returns once these are under way.
func running(t *testing.T, scheme string, keepAlive time.Duration, x transfer) (server *process, p *proxy, end func() []outcome) {
	t.Helper()
	server = start(t, "serve", scheme, keepAlive.String())
	p = newProxy(t, "tcp", server.line(t, "listening"), unhurried)
	done := make(chan []outcome, 1)
	go func() {
		outcomes, failed := load(newDialer(keepAlive), scheme+"://"+p.addr+"/", count, count, x)
		if failed != nil {
			t.Error(failed)
		}
		done <- outcomes
	}()
	waitUntil(t, "the load", func() bool {
		if len(done) > 0 {
			t.Fatalf("the load has ended: %+v", <-done)
		}
		return p.underWay.Load() == 2*count
	})
	return server, p, func() []outcome {
		select {
		case outcomes := <-done:
			if len(outcomes) != count {
				t.Errorf("%d of %d transfers", len(outcomes), count)
			}
			return outcomes
		case <-time.After(timeout / 2):
			t.Fatal("a transfer hangs")
			return nil
		}
	}
}

// allLost fails the test unless every outcome is an error.
func allLost(t *testing.T, side string, outcomes []outcome) {
	t.Helper()
	check(t, side, outcomes, false)
	for _, o := range outcomes {
		if o.Err == "" || o.WriteErr == "" {
			t.Errorf("%s has not noticed: %+v", side, o)
		}
	}
}

// TestKilled: a peer that is killed is an error on the other side.
func TestKilled(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		server, _, end := running(t, scheme, 0, endless)
		server.signal(t, syscall.SIGKILL)
		allLost(t, "the client", end())
	})
}

// TestStopped: a peer that is stopped is found dead by KeepAlive although its
// system acknowledges what is sent; woken up, it finds the same.
func TestStopped(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		server, _, end := running(t, scheme, keepAlive, endless)
		server.signal(t, syscall.SIGSTOP)
		outcomes := end()
		allLost(t, "the client", outcomes)
		for _, o := range outcomes {
			if !strings.Contains(o.Err, "does not answer") {
				t.Errorf("the client's error is not KeepAlive's: %+v", o)
			}
		}
		server.signal(t, syscall.SIGCONT)
		allLost(t, "the server", server.outcomes(t))
	})
}

// TestStoppedShortly: one that is stopped for less than KeepAlive allows goes on.
func TestStoppedShortly(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		x := transfer{size: 8 << 20, limit: timeout}
		server, _, end := running(t, scheme, timeout, x)
		server.signal(t, syscall.SIGSTOP)
		time.Sleep(300 * time.Millisecond) // how long it is stopped; no result depends on it
		server.signal(t, syscall.SIGCONT)
		check(t, "the client", end(), true)
		check(t, "the server", server.outcomes(t), true)
	})
}

// TestPartitioned: without FIN or RST both sides find out by KeepAlive.
func TestPartitioned(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		server, p, end := running(t, scheme, keepAlive, endless)
		p.partitioned.Store(true)
		allLost(t, "the client", end())
		allLost(t, "the server", server.outcomes(t))
	})
}

// TestDeadlineInPartition: with KeepAlive off the deadline is the limit.
func TestDeadlineInPartition(t *testing.T) {
	t.Parallel()
	x := endless
	x.limit = 8 * time.Second
	server, p, end := running(t, "ws", -1, x)
	p.partitioned.Store(true)
	for _, o := range end() {
		if !strings.Contains(o.Err+o.WriteErr, "i/o timeout") {
			t.Errorf("no timeout: %+v", o)
		}
	}
	allLost(t, "the server", server.outcomes(t))
}

// TestClientStopped: a client that is stopped, and later killed, is the
// server's to find, which keeps nothing of it.
func TestClientStopped(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		server := start(t, "serve", scheme, keepAlive.String())
		p := newProxy(t, "tcp", server.line(t, "listening"), unhurried)
		client := start(t, "dial", scheme+"://"+p.addr+"/", keepAlive.String(), fmt.Sprint(count), fmt.Sprint(endless.size), endless.limit.String())
		waitUntil(t, "the load", func() bool { return p.underWay.Load() == 2*count })
		client.signal(t, syscall.SIGSTOP)
		for range count {
			var o outcome
			must(t, json.Unmarshal([]byte(server.line(t, "outcome")), &o))
			allLost(t, "the server", []outcome{o})
		}
		client.signal(t, syscall.SIGKILL)
		if left := server.outcomes(t); len(left) != 0 {
			t.Errorf("further outcomes: %+v", left)
		}
	})
}
