package faults_test

import (
	"crypto/tls"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/testcert"
)

// overBoth runs a test with and without TLS.
func overBoth(t *testing.T, test func(t *testing.T, scheme string)) {
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			test(t, scheme)
		})
	}
}

func newListener(scheme string, keepAlive time.Duration) *walve.Listener {
	ln := &walve.Listener{Upgrader: walve.Upgrader{KeepAlive: keepAlive}, Backlog: 1000}
	if scheme == "wss" {
		ln.TLSConfig = &tls.Config{Certificates: []tls.Certificate{testcert.Get()}}
	}
	return ln
}

func newDialer(keepAlive time.Duration) *walve.Dialer {
	return &walve.Dialer{KeepAlive: keepAlive, TLSConfig: &tls.Config{InsecureSkipVerify: true}}
}

// A trial is a load of transfers through a proxy.
type trial struct {
	scheme    string
	keepAlive time.Duration
	count     int
	parallel  int
	transfer  transfer
	lossless  bool
	plan      func(i int) plan
}

// run returns how many transfers were complete on the client's side.
func (tr trial) run(t *testing.T) (complete int) {
	t.Helper()
	ln := newListener(tr.scheme, tr.keepAlive)
	must(t, ln.Listen("tcp", "127.0.0.1:0"))
	var s site
	s.serve(ln)
	p := newProxy(t, "tcp", ln.Addr().String(), tr.plan)
	outcomes, failed := load(newDialer(tr.keepAlive), tr.scheme+"://"+p.addr+"/", tr.count, max(tr.parallel, 8), tr.transfer)
	if failed != nil && tr.lossless {
		t.Error(failed)
	}
	complete = check(t, "the client", outcomes, tr.lossless)
	served, err := s.finish(bound(t))
	if err != nil {
		t.Errorf("a server's side hangs: %v", err)
	}
	check(t, "the server", served, tr.lossless)
	if tr.lossless && len(served) != tr.count {
		t.Errorf("the server saw %d streams of %d", len(served), tr.count)
	}
	return complete
}

// upTo returns a function that returns random numbers from 1 to n.
func upTo(n int) func() int { return func() int { return 1 + rand.IntN(n) } }

func delays(limit time.Duration) func() time.Duration {
	return func() time.Duration { return rand.N(limit) }
}

// patient is for faults that lose nothing: no limit may end a transfer.
var patient = transfer{size: 500_000, limit: timeout}

// TestLossless: whatever delays and splits a stream loses nothing of it.
func TestLossless(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{
		"delay":       {delay: delays(20 * time.Millisecond)},
		"pieces":      {split: upTo(3000)},
		"both":        {split: upTo(20000), delay: delays(2 * time.Millisecond)},
		"stall":       {at: 300_000, do: stall, pause: time.Second},
		"stall early": {at: 100, do: stall, pause: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, func(t *testing.T, scheme string) {
				trial{scheme: scheme, count: either(2, 200), transfer: patient, lossless: true,
					plan: func(int) plan { return plan{f, f} }}.run(t)
			})
		})
	}
}

// TestSplitEverySize: pieces of 1, 2, 3... bytes, in which everything ends
// everywhere: the request, records, headers, payloads.
func TestSplitEverySize(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		x := transfer{size: 2000, limit: timeout}
		trial{scheme: scheme, count: either(6, 1500), transfer: x, lossless: true, plan: func(i int) plan {
			f := fault{split: func() int { return 1 + i }}
			return plan{f, f}
		}}.run(t)
	})
}

// short is for faults that take a stream's life.
var short = transfer{size: 300_000, limit: 10 * time.Second}

// TestLoss: half-closes, resets and partitions anywhere in a stream, in either
// direction, end it with an error where something was lost, within its limits.
func TestLoss(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]action{"FIN": halfClose, "RST": reset, "swallow": swallow, "stall": stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, func(t *testing.T, scheme string) {
				damage(t, trial{scheme: scheme, count: either(6, 600), transfer: short}, do, short.size+3000)
			})
		})
	}
}

// TestCutEveryByte: the same at every byte of a short stream, its opening and
// closing handshake included.
func TestCutEveryByte(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]action{"FIN": halfClose, "RST": reset} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("ws", func(t *testing.T) { t.Parallel(); everyByte(t, "ws", do, 700, either(11, 1)) })
			t.Run("wss", func(t *testing.T) { t.Parallel(); everyByte(t, "wss", do, 4000, either(97, 1)) })
		})
	}
}

// TestCorruptTLS: a bit changed anywhere inside TLS is an error, never content
// and never the end.
func TestCorruptTLS(t *testing.T) {
	t.Parallel()
	t.Run("long streams", func(t *testing.T) {
		t.Parallel()
		tr := trial{scheme: "wss", count: either(8, 1000), transfer: short}
		damage(t, tr, corrupt, short.size)
	})
	t.Run("every byte", func(t *testing.T) { t.Parallel(); everyByte(t, "wss", corrupt, 4000, either(97, 1)) })
}

// damage runs a trial whose connections suffer from do once, at random.
func damage(t *testing.T, tr trial, do action, within int64) {
	tr.keepAlive = time.Second
	tr.parallel = 12
	tr.plan = func(i int) plan {
		f := fault{at: rand.Int64N(within), do: do, split: upTo(10000), pause: timeout}
		if i%2 == 0 {
			return plan{up: f}
		}
		return plan{down: f}
	}
	if complete := tr.run(t); complete == tr.count {
		t.Error("nothing was lost: nothing was tested")
	}
}

// everyByte does something at every step-th byte of each direction.
func everyByte(t *testing.T, scheme string, do action, bytes, step int) {
	const each = 150
	x := transfer{size: each, limit: 5 * time.Second}
	trial{scheme: scheme, keepAlive: 500 * time.Millisecond, count: 2 * bytes / step, parallel: 64, transfer: x,
		plan: func(i int) plan {
			f := fault{at: int64(i / 2 * step), do: do}
			if i%2 == 0 {
				return plan{up: f}
			}
			return plan{down: f}
		}}.run(t)
}
