package walve_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/deflate"
	"github.com/bodokaiser/walve/internal/memconn"
)

// A bomb is a message of zeros, a thousand times smaller on the wire.
const bombSize = 64 << 20

func bombFrames(client bool) (wire []byte) {
	zeros := make([]byte, deflate.MaxPiece)
	d := deflate.NewDeflater(1, 15, false)
	b0 := rsv1 | bin
	for n := 0; n < bombSize; n += len(zeros) {
		zeros = zeros[:min(len(zeros), bombSize-n)]
		last := n+len(zeros) == bombSize
		payload := d.Append(nil, zeros, last)
		if d.Commit(zeros, last); last {
			b0 |= fin
		}
		wire = append(wire, rawFrame(client, b0, string(payload))...)
		b0 = cont
	}
	return append(wire, rawFrame(client, fin|cls, closePayload(1000, ""))...)
}

// TestDeflateBomb: what a peer has inflated costs time and no memory, whoever
// reads it or leaves it behind.
func TestDeflateBomb(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops what is pooled")
	}
	// The buffer of io.Copy and those of pools; a window.
	const most = 1 << 20
	var got countingWriter
	copyAll := func(r io.Reader, err error) error {
		if err == nil {
			_, err = io.CopyBuffer(&got, struct{ io.Reader }{r}, make([]byte, 4096))
		}
		return err
	}
	wires := map[bool][]byte{true: bombFrames(true), false: bombFrames(false)}
	for _, tt := range []struct {
		name string
		want int64
		read func(c *walve.Conn) error
	}{
		{"Read", bombSize, func(c *walve.Conn) error { return copyAll(c, nil) }},
		{"WriteTo", bombSize, func(c *walve.Conn) error { _, err := c.WriteTo(&got); return err }},
		{"NextReader", bombSize, func(c *walve.Conn) error { _, r, err := c.NextReader(); return copyAll(r, err) }},
		{"NextMessage", bombSize, func(c *walve.Conn) error { _, r, err := c.NextMessage(); return copyAll(r, err) }},
		{"left behind by NextReader", 0, func(c *walve.Conn) error { _, _, err := c.NextReader(); return err }},
		{"left behind by NextMessage", 0, func(c *walve.Conn) error { _, _, err := c.NextMessage(); return err }},
	} {
		for _, client := range []bool{false, true} {
			for _, agreed := range everyAgreement[:2] {
				t.Run(fmt.Sprintf("%s/client=%v/takeover=%v", tt.name, client, agreed.ReceiveTakeover), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						c, own, peer := memConn(walve.TestConfig{Client: client, Deflate: &agreed}, memconn.Buffer(1<<20))
						peer.Write(wires[!client])
						got = 0
						var before, after runtime.MemStats
						runtime.ReadMemStats(&before)
						err := tt.read(c)
						if err == nil {
							_, _, err = c.NextReader() // what is left is skipped
						}
						runtime.ReadMemStats(&after)
						if err != io.EOF || int64(got) != tt.want {
							t.Errorf("%d bytes, %v", got, err)
						}
						if n := after.TotalAlloc - before.TotalAlloc; n > most {
							t.Errorf("%d bytes allocated", n)
						}
						synctest.Wait()
						take(t, own, peer)
						closeBoth(t, c, peer)
					})
				})
			}
		}
	}
}

type countingWriter int64

func (w *countingWriter) Write(p []byte) (int, error) {
	*w += countingWriter(len(p))
	return len(p), nil
}

// TestDeflateBombReadMessage: MaxMessageSize bounds what is inflated for
// ReadMessage, and what that holds.
func TestDeflateBombReadMessage(t *testing.T) {
	const limit = 1 << 20
	bothRoles(t, func(t *testing.T, client bool) {
		bubble(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client, Deflate: &everyAgreement[0], MaxMessageSize: limit}, memconn.Buffer(1<<20))
			p.write(bombFrames(!client))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := c.ReadMessage()
			runtime.ReadMemStats(&after)
			wantProtocolError(t, "the read", err, walve.StatusMessageTooBig)
			if n := after.TotalAlloc - before.TotalAlloc; n > 8*limit {
				t.Errorf("%d bytes allocated", n)
			}
			p.wantClose(walve.StatusMessageTooBig)
			c.Close()
			p.Close()
		})
	})
}

// TestDeflateFailsEveryReader: whoever reads gets what was good, and then the
// error, again and again.
func TestDeflateFailsEveryReader(t *testing.T) {
	noTakeover := everyAgreement[1]
	const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692, 7.2.3.1
	for _, tt := range []struct {
		name   string
		frames []testRaw
		got    string
		code   walve.StatusCode
	}{
		{"RSV1 in a continuation", []testRaw{{rsv1 | bin, hello[:4]}, {fin | rsv1 | cont, hello[4:]}}, "He", 1002},
		{"RSV1 in a Pong", []testRaw{{rsv1 | bin, hello[:4]}, {fin | rsv1 | pong, ""}}, "He", 1002},
		{"corrupt", []testRaw{{fin | rsv1 | bin, hello[:4] + "\xff\xff\xff\xff"}}, "", 1007},
		{"cut", []testRaw{{fin | rsv1 | bin, hello[:4]}}, "He", 1007},
		{"cut in the second frame", []testRaw{{rsv1 | bin, hello[:4]}, {fin | cont, ""}}, "He", 1007},
		{"in the window of the message before", []testRaw{{fin | rsv1 | bin, "\xf2\x00\x11\x00\x00"}}, "H", 1007},
	} {
		for _, m := range readMethods {
			t.Run(tt.name+"/"+m.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Deflate: &noTakeover})
					p.send(fin|rsv1|bin, hello)
					for _, f := range tt.frames {
						p.send(f.b0, f.payload)
					}
					got, err := m.read(c)
					wantProtocolError(t, "the read", err, tt.code)
					if !bytes.HasPrefix(got, []byte("Hello")) || m.name != "ReadMessage" && !bytes.HasPrefix(got, []byte("Hello"+tt.got)) {
						t.Errorf("read %q", got)
					}
					_, err = m.read(c)
					wantProtocolError(t, "the read", err, tt.code)
					p.wantClose(tt.code)
					c.Close()
					p.Close()
				})
			})
		}
	}
}

// compressing returns two ends that have agreed on what the options say.
func compressing(t testing.TB, client, server *walve.Compression) (c, s *walve.Conn, own *memconn.Conn) {
	t.Helper()
	inner := newMemListener()
	ln := walve.NewListener(inner)
	t.Cleanup(func() { ln.Close() })
	ln.Upgrader.Compression = server
	near, far := memconn.Pipe()
	inner.conns <- far
	c, err := (&walve.Dialer{Compression: client}).Handshake(t.Context(), near, "ws://in.memory/")
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c, accepted.(*walve.Conn), near
}

// TestDeflateConcurrent: rule 7 for compressed messages, of which each refers
// to those before it.
func TestDeflateConcurrent(t *testing.T) {
	const writers, count = 4, 30
	c, s, _ := compressing(t, &walve.Compression{Threshold: -1}, &walve.Compression{Threshold: -1})
	defer s.Close()
	defer c.Close()
	message := func(writer, i int) string { return fmt.Sprint(writer, "/", i, ": ", jsonText(10*(i*i+writer))) }
	var wrote, read sync.WaitGroup
	for _, e := range [][2]*walve.Conn{{c, s}, {s, c}} {
		for n := range writers {
			wrote.Go(func() {
				for i := range count {
					p := []byte(message(n, i))
					write := e[0].WriteMessage
					if i%3 == n%3 {
						write = func(op walve.Opcode, p []byte) error {
							return writeNext(e[0], walve.Header{Opcode: op, Fin: true, Length: -1}, p)
						}
					}
					if err := write(text, p); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wrote.Go(func() {
			for range count {
				if err := e[0].Ping(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
		read.Go(func() {
			got := make(map[string]bool)
			for {
				_, p, err := e[1].ReadMessage()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Error(err)
					return
				}
				got[string(p)] = true
			}
			for n := range writers {
				for i := range count {
					if !got[message(n, i)] {
						t.Errorf("message %d of writer %d has not come", i, n)
					}
				}
			}
		})
	}
	wrote.Wait()
	c.CloseWrite()
	s.CloseWrite()
	read.Wait()
}

// TestDeflateLevel: each of a few levels makes more of messages than the one
// before.
func TestDeflateLevel(t *testing.T) {
	last := int64(0)
	for _, level := range []int{9, 5, 1} {
		c, s, own := compressing(t, &walve.Compression{Level: level}, &walve.Compression{})
		before := own.Written()
		for i := range 20 {
			if err := c.WriteMessage(text, []byte(jsonText(3000+i))); err != nil {
				t.Fatal(err)
			}
		}
		n := own.Written() - before
		t.Logf("level %d: %d bytes", level, n)
		if n <= last {
			t.Errorf("level %d makes %d bytes, a higher one %d", level, n, last)
		}
		last = n
		c.Close()
		s.Close()
	}
}

// TestDeflateAllocs: rule 6 of CONTRIBUTING.md, once the window is full.
func TestDeflateAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops what is pooled")
	}
	for _, agreed := range everyAgreement {
		nc1, nc2 := tcpSockets(t)
		c := walve.NewTestConn(nc1, walve.TestConfig{Client: true, Deflate: &agreed})
		s := walve.NewTestConn(nc2, walve.TestConfig{Deflate: &walve.Deflate{
			SendBits: agreed.ReceiveBits, SendTakeover: agreed.ReceiveTakeover,
			ReceiveBits: agreed.SendBits, ReceiveTakeover: agreed.SendTakeover,
		}})
		message, p := []byte(jsonText(1000)), make([]byte, 4096)
		trip := func() {
			if _, err := c.Write(message); err != nil {
				t.Fatal(err)
			}
			if n, err := io.ReadFull(s, p[:len(message)]); err != nil || !bytes.Equal(p[:n], message) {
				t.Fatal(n, err)
			}
		}
		for range 100 {
			trip()
		}
		if n := testing.AllocsPerRun(200, trip); n > 0 {
			t.Errorf("%+v: %v allocations for a Write and Reads", agreed, n)
		}
		c.Close()
		s.Close()
	}
}
