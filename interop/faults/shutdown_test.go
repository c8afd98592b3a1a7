package faults_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// shutting starts transfers through a proxy, and returns once these are under
// way.
func shutting(t *testing.T, scheme string, f fault, x transfer) (s *site, p *proxy, outcomes chan []outcome) {
	t.Helper()
	ln := newListener(scheme, 0)
	must(t, ln.Listen("tcp", "127.0.0.1:0"))
	s = new(site)
	s.serve(ln)
	p = newProxy(t, "tcp", ln.Addr().String(), func(int) plan { return plan{f, f} })
	outcomes = make(chan []outcome, 1)
	go func() {
		got, failed := load(newDialer(0), scheme+"://"+p.addr+"/", count, count, x)
		if failed != nil {
			t.Error(failed)
		}
		outcomes <- got
	}()
	waitUntil(t, "the load", func() bool { return p.underWay.Load() == 2*count })
	return s, p, outcomes
}

// TestShutdownWaits: Shutdown lets transfers end, complete, and nobody new in.
func TestShutdownWaits(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		slow := fault{split: upTo(20_000), delay: delays(2 * time.Millisecond)}
		s, p, outcomes := shutting(t, scheme, slow, transfer{size: either[int64](1<<20, 8<<20), limit: timeout})
		var served []outcome
		done := make(chan error, 1)
		go func() {
			var err error
			served, err = s.finish(bound(t))
			done <- err
		}()
		waitUntil(t, "Shutdown", func() bool {
			c, err := newDialer(0).DialURL(bound(t), scheme+"://"+p.addr+"/")
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		for _, o := range <-outcomes {
			check(t, "the client", []outcome{o}, true)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		complete := 0
		for _, o := range served {
			if o.Size > 0 && o.complete() { // those that have asked whether Shutdown has begun have none
				complete++
			}
		}
		if complete != count {
			t.Errorf("%d transfers complete on the server's side: %+v", complete, served)
		}
	})
}

// TestShutdownStragglers: Shutdown ends with its context, and tells those that
// are left why, with status 1001: if they read within 5 s what was sent before.
func TestShutdownStragglers(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		s, p, outcomes := shutting(t, scheme, fault{}, endless)
		idle, err := newDialer(0).DialURL(bound(t), scheme+"://"+p.addr+"/?limit=1m&size=1000000000000")
		must(t, err)
		defer idle.Close()
		ctx, cancel := contextFor(100 * time.Millisecond)
		defer cancel()
		began := time.Now()
		served, err := s.finish(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returned %v", err)
		}
		t.Logf("Shutdown and its users took %v of 100ms", time.Since(began).Round(time.Millisecond))
		allServed := 0
		for _, o := range served {
			if strings.Contains(o.Err, "use of closed") && o.wrong() == "" {
				allServed++
			}
		}
		if allServed != count+1 {
			t.Errorf("the server's side: %+v", served)
		}
		for _, o := range <-outcomes {
			if s := o.wrong(); s != "" || !strings.Contains(o.Err, "1001") {
				t.Errorf("a client saw %+v, want 1001", o)
			}
		}
		var closed *walve.CloseError
		if _, err := idle.WriteTo(discard{}); !errors.As(err, &closed) || closed.Code != walve.StatusGoingAway {
			t.Errorf("the client that has sent nothing saw %v, want 1001", err)
		}
	})
}

// discard is io.Discard without its ReadFrom.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
