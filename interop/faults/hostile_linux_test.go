package faults_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// latencies makes connections one after another and returns how long each took,
// its first exchange included, the shortest first.
func latencies(t *testing.T, d *walve.Dialer, at string, n int) (took []time.Duration) {
	t.Helper()
	for range n {
		began := time.Now()
		c, err := connect(d, at, timeout)
		must(t, err)
		took = append(took, time.Since(began))
		must(t, c.Close())
	}
	slices.Sort(took)
	return took
}

func middle(s []time.Duration) time.Duration { return s[len(s)/2].Round(10 * time.Microsecond) }
func most(s []time.Duration) time.Duration   { return s[len(s)*99/100].Round(10 * time.Microsecond) }

// TestSlowHandshakes: requests that stop anywhere, or trickle, hold up nobody
// else and are closed within the server's 10 s.
func TestSlowHandshakes(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		server, at := startEcho(t, scheme, 0)
		d := newDialer(0)
		rounds := either(15, 1000)
		before := latencies(t, d, at, rounds)
		var ending sync.WaitGroup
		var slowest atomic.Int64
		address := strings.Trim(strings.TrimPrefix(at, scheme+":"), "/")
		for i := range either(100, 4000) {
			c, err := net.Dial("tcp", address)
			must(t, err)
			ending.Go(func() {
				defer c.Close()
				began := time.Now()
				trickle(c, scheme, i)
				for end := time.Since(began); ; {
					old := slowest.Load()
					if int64(end) <= old || slowest.CompareAndSwap(old, int64(end)) {
						return
					}
				}
			})
		}
		during := latencies(t, d, at, rounds)
		t.Logf("connect and echo, median and 99th percentile: %v %v, under the flood %v %v; %v",
			middle(before), most(before), middle(during), most(during), server.memory(t))
		ending.Wait() // hangs if the server keeps one
		t.Logf("the last slow request was closed after %v", time.Duration(slowest.Load()).Round(time.Millisecond))
		if m := server.memory(t); m.Goroutines > 10 {
			t.Errorf("left of the flood: %v", m)
		}
		server.end(t)
	})
}

// trickle sends a part of a request, the rest byte by byte, never to its end,
// until the server ends the connection.
func trickle(c net.Conn, scheme string, i int) {
	request := []byte("GET / HTTP/1.1\r\nHost: walve.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
	if scheme == "wss" && i%2 == 0 {
		// A request that trickles inside TLS, or a handshake that does.
		if tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true}); tc.Handshake() == nil {
			c = tc
		}
	} else if scheme == "wss" {
		request = []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}
	}
	sent := i % len(request)
	c.Write(request[:sent])
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		io.Copy(io.Discard, c)
	}()
	every := time.NewTicker(500 * time.Millisecond)
	defer every.Stop()
	for ; ; sent++ {
		select {
		case <-closed:
			return
		case <-every.C:
			if i%3 != 0 && sent < len(request) {
				c.Write(request[sent : sent+1])
			}
		}
	}
}

// TestNeighbours: a connection that never reads its echo and one whose frames
// have one byte each, as fast as it can, disturb no other.
func TestNeighbours(t *testing.T) { // not beside others: it takes all processors
	overBoth(t, func(t *testing.T, scheme string) {
		server, at := startEcho(t, scheme, 0)
		d := newDialer(0)
		honest, err := connect(d, at, timeout)
		must(t, err)
		rounds := either(100, 20_000)
		alone := exchanges(t, honest, rounds)
		before := server.memory(t)

		deaf, err := connect(d, at, timeout)
		must(t, err)
		tiny, err := connect(d, at, timeout)
		must(t, err)
		var busy sync.WaitGroup
		var frames atomic.Int64
		busy.Go(func() {
			for b := make([]byte, 64<<10); ; {
				if _, err := deaf.Write(b); err != nil {
					return
				}
			}
		})
		busy.Go(func() {
			for b := []byte{1}; ; frames.Add(1) {
				if _, err := tiny.Write(b); err != nil {
					return
				}
			}
		})
		busy.Go(func() { io.Copy(io.Discard, tiny) })
		waitUntil(t, "the flood", func() bool { return frames.Load() > 1000 })
		beside := exchanges(t, honest, rounds)
		after := server.memory(t)
		t.Logf("an echo, median and 99th percentile: %v %v, beside them %v %v and %d frames of a byte; %v",
			middle(alone), most(alone), middle(beside), most(beside), frames.Load(), after)
		if after.Bytes > before.Bytes+16<<20 {
			t.Errorf("memory: %v, before %v", after, before)
		}
		for _, c := range []*walve.Conn{deaf, tiny} {
			c.Close()
		}
		busy.Wait()
		must(t, honest.Close())
		server.end(t)
	})
}

// exchanges returns how long echoes of 1 KiB took, the shortest first.
func exchanges(t *testing.T, c *walve.Conn, n int) (took []time.Duration) {
	t.Helper()
	p := make([]byte, 1<<10)
	rand.Read(p)
	for range n {
		began := time.Now()
		must(t, roundTrip(c, p))
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// TestPingFlood: Pings whose Pongs nobody reads are all read, in memory that
// does not grow, and the connection lives.
func TestPingFlood(t *testing.T) { // not beside others: it takes all processors
	overBoth(t, func(t *testing.T, scheme string) {
		server, at := startEcho(t, scheme, 0)
		raw, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(at, scheme+":"), "/"))
		must(t, err)
		if scheme == "wss" {
			raw = tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		}
		c, err := newDialer(-1).Handshake(bound(t), raw, "ws://walve.example/")
		must(t, err)
		must(t, roundTrip(c, []byte("hello")))
		before := server.memory(t)
		var pings bytes.Buffer
		fw := walve.NewFrameWriter(&pings)
		h := walve.Header{Fin: true, Opcode: walve.OpPing, Masked: true, MaskKey: [4]byte{1, 2, 3, 4}, Length: 125}
		for range 1000 {
			must(t, fw.WriteFrame(h, make([]byte, h.Length)))
		}
		// More by far than the system buffers.
		rounds := either(60, 10_000)
		for range rounds {
			_, err := raw.Write(pings.Bytes())
			must(t, err)
		}
		// While it still reads there is garbage.
		var after memory
		waitUntil(t, "the end of memory that grows with Pings", func() bool {
			after = server.memory(t)
			return after.Bytes < before.Bytes+1<<20
		})
		t.Logf("%d Pings: %v, before %v", rounds*1000, after, before)
		must(t, roundTrip(c, []byte("still here")))
		must(t, c.Close())
		server.end(t)
	})
}
