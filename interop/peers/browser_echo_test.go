package peers_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/bodokaiser/walve"
)

// browserServers are the servers that messages are exchanged with.
var browserServers = []struct {
	name       string
	extensions string // that the page sees
	start      func(testing.TB) site
}{
	{"Upgrade", "", func(t testing.TB) site { return upgradeSite(t, walve.Upgrader{}, nil) }},
	{"Upgrade wss", "", func(t testing.TB) site { return upgradeSite(t, walve.Upgrader{}, serverTLS()) }},
	{"Listener", "", func(t testing.TB) site { return listenerSite(t, &walve.Listener{}, loopback(t)) }},
	{"Listener wss", "", func(t testing.TB) site {
		return listenerSite(t, &walve.Listener{TLSConfig: serverTLS()}, loopback(t))
	}},
	{"deflate", "permessage-deflate", func(t testing.TB) site {
		return upgradeSite(t, walve.Upgrader{Compression: &walve.Compression{Threshold: -1}}, nil)
	}},
	{"deflate without takeover", "permessage-deflate; server_no_context_takeover; client_no_context_takeover", func(t testing.TB) site {
		return upgradeSite(t, walve.Upgrader{Compression: &walve.Compression{NoSendTakeover: true, NoReceiveTakeover: true}}, nil)
	}},
}

// testEcho: both ends know what the other one sends.
func (b *browser) testEcho(t *testing.T) {
	for _, server := range browserServers {
		t.Run(server.name, func(t *testing.T) {
			s := server.start(t)
			extensions := begin[string](t, b.open(t, s.origin), "echo", s.url(), sizes)
			c := s.accept(t)
			pinged := make(chan error, 1)
			go func() { pinged <- c.Ping(bound(t)) }()
			for _, n := range sizes {
				for _, m := range []struct {
					op      walve.Opcode
					payload []byte
				}{{walve.OpBinary, pattern(n)}, {walve.OpText, text(n)}} {
					op, got, err := c.ReadMessage()
					if err != nil {
						t.Fatal(err, extensions())
					}
					want(t, op, got, m.op, m.payload)
					answerTwice(t, c, m.op, m.payload)
				}
			}
			if got := extensions(); got != server.extensions {
				t.Errorf("the page sees the extensions %q, want %q", got, server.extensions)
			}
			_, err := c.Read(make([]byte, 1))
			wantClose(t, err, 4001, "grün")
			if err := <-pinged; err != nil {
				t.Error("Ping:", err)
			}
		})
	}
}

// answerTwice sends a message whole and in fragments.
func answerTwice(t testing.TB, c *walve.Conn, op walve.Opcode, payload []byte) {
	t.Helper()
	if err := c.WriteMessage(op, payload); err != nil {
		t.Fatal(err)
	}
	// The middle of a text may be inside a rune.
	middle := len(payload) / 2
	for _, frame := range []struct {
		h       walve.Header
		payload []byte
	}{
		{walve.Header{Opcode: op}, payload[:middle]},
		{walve.Header{Opcode: walve.OpContinuation, Fin: true}, payload[middle:]},
	} {
		frame.h.Length = int64(len(frame.payload))
		w, err := c.NextWriter(frame.h)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(frame.payload)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// testLarge sends 64 MiB each way at once, of which neither is ever in the
// memory of the server.
func (b *browser) testLarge(t *testing.T) {
	const size = 64 << 20
	for _, server := range browserServers {
		t.Run(server.name, func(t *testing.T) {
			s := server.start(t)
			sums := begin[struct {
				Sent, Received string
				Size           int
			}](t, b.open(t, s.origin), "exchange", s.url(), size)
			c := s.accept(t)
			sent, received := sha256.New(), sha256.New()
			var wg sync.WaitGroup
			wg.Go(func() {
				w, err := c.NextWriter(walve.Header{Fin: true, Opcode: walve.OpBinary, Length: size})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.Copy(io.MultiWriter(w, sent), io.LimitReader(rand.Reader, size)); err != nil {
					t.Error(err)
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			})
			_, r, err := c.NextMessage()
			if err != nil {
				t.Fatal(err)
			}
			var heap heapMeter
			heap.look()
			before := heap.most
			if n, err := io.Copy(io.MultiWriter(received, &heap), r); n != size || err != nil {
				t.Errorf("read %d bytes: %v", n, err)
			}
			wg.Wait()
			got := sums()
			if got.Received != hex.EncodeToString(sent.Sum(nil)) || got.Size != size {
				t.Errorf("the page got %d bytes, or others", got.Size)
			}
			if got.Sent != hex.EncodeToString(received.Sum(nil)) {
				t.Error("the server got other bytes")
			}
			if grown := int64(heap.most - before); grown > size/4 {
				t.Errorf("the server's memory has grown by %d bytes", grown)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("after Close 1000: %v", err)
			}
		})
	}
}

// A heapMeter looks every 8 MiB that are written to it how much memory is in
// use.
type heapMeter struct {
	written int
	most    uint64
}

func (m *heapMeter) Write(p []byte) (int, error) {
	const step = 8 << 20
	if m.written/step != (m.written+len(p))/step {
		m.look()
	}
	m.written += len(p)
	return len(p), nil
}

func (m *heapMeter) look() {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m.most = max(m.most, stats.HeapAlloc)
}
