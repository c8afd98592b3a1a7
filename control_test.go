package walve_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// readOn reads c until there is an error, in the background.
func readOn(c *walve.Conn) <-chan opResult {
	return begin(func() (int, error) {
		got, err := readAll(c, 4096)
		return len(got), err
	})
}

// TestControlPongsInOrder is rule 3: while the writer keeps up every Ping is
// answered, in order and with its payload, between fragments too.
func TestControlPongsInOrder(t *testing.T) {
	payloads := []string{"", "a", "\xff\x00", strings.Repeat("p", 124), strings.Repeat("q", 125), "", "last"}
	bothRoles(t, func(t *testing.T, client bool) {
		for _, m := range readMethods {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client})
				read := beginErr(func() error { _, err := m.read(c); return err })
				first := bin
				for range 3 {
					p.send(first, "fragment")
					first = cont
					// All at once, and one by one.
					for _, payload := range payloads {
						p.send(fin|ping, payload)
					}
					for _, payload := range payloads {
						p.want(fin|pong, payload)
					}
					for _, payload := range payloads {
						p.send(fin|ping, payload)
						p.want(fin|pong, payload)
					}
				}
				pending(t, m.name, read)
				p.wantNothing()
				p.Close()
				<-read
				c.Close()
			})
		}
	})
}

// TestControlPongsAsManyAsFit: up to the bound of the queue every Ping that
// arrives at once is answered.
func TestControlPongsAsManyAsFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{})
		read := readOn(c)
		var frames []any
		for i := range walve.MaxControl {
			frames = append(frames, fin|ping, fmt.Sprint(i))
		}
		p.write(sends(frames...)(p.client))
		for i := range walve.MaxControl {
			p.want(fin|pong, fmt.Sprint(i))
		}
		p.Close()
		<-read
		c.Close()
	})
}

// TestControlPongQueueIsBounded: of a flood of Pings to a peer that takes
// nothing the newest is answered, a bounded number besides, and the reader has
// never waited.
func TestControlPongQueueIsBounded(t *testing.T) {
	const flood = 10000
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client})
			p.near.SetWriteLimit(3) // inside a frame
			write := begin(func() (int, error) { return c.Write([]byte("data")) })
			synctest.Wait()
			read := begin(func() (int, error) { return io.ReadFull(c, make([]byte, flood)) })
			for i := range flood {
				p.send(fin|ping, fmt.Sprint(i))
				p.send(fin|bin, "x")
			}
			if r := <-read; r.n != flood || r.err != nil {
				t.Fatalf("read %d, %v", r.n, r.err)
			}
			synctest.Wait()
			pending(t, "Write", write)
			p.near.SetWriteLimit(-1)
			<-write
			p.send(fin|ping, "after")
			go c.Read(make([]byte, 1))
			last, count, data := -1, 0, 0
			for {
				h, payload, err := p.next()
				if err != nil {
					t.Fatal(err)
				}
				if h.Opcode == walve.OpBinary {
					data++
					continue
				}
				if h.Opcode != walve.OpPong {
					t.Fatalf("frame %+v", h)
				}
				if payload == "after" {
					break
				}
				var i int
				fmt.Sscan(payload, &i)
				if i <= last {
					t.Errorf("Pong %d behind %d", i, last)
				}
				last = i
				count++
			}
			if last != flood-1 {
				t.Errorf("the last Pong answers Ping %d, want the newest, %d", last, flood-1)
			}
			if count > walve.MaxControl || data != 1 {
				t.Errorf("%d Pongs and %d data frames", count, data)
			}
			p.Close()
			c.Close()
		})
	})
}

// TestControlReaderNeverWaitsForWriter: while a Write is stuck, Pings and data
// are read, and the Pongs leave between its frames once the peer takes them.
func TestControlReaderNeverWaitsForWriter(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client}, memconn.Buffer(1000))
			data := randomBytes(3 * walve.PieceSize)
			write := begin(func() (int, error) { return c.Write(data) })
			synctest.Wait()
			for i := range 5 {
				p.send(fin|ping, fmt.Sprint(i))
				p.send(fin|bin, "abc")
				q := make([]byte, 3)
				if _, err := io.ReadFull(c, q); err != nil || string(q) != "abc" {
					t.Fatalf("read %q, %v", q, err)
				}
			}
			synctest.Wait()
			pending(t, "Write", write)
			frames, pongs := 0, 0
			for frames < 3 || pongs < 5 {
				h, payload, err := p.next()
				if err != nil {
					t.Fatal(err)
				}
				if h.Opcode == walve.OpPong {
					if payload != fmt.Sprint(pongs) || frames != 1 {
						t.Errorf("Pong %q, the %d. one, behind %d frames", payload, pongs, frames)
					}
					pongs++
					continue
				}
				if frames++; h.Fin {
					break
				}
			}
			if r := <-write; r.n != len(data) || r.err != nil || pongs != 5 {
				t.Errorf("Write: %d, %v; %d Pongs before its end", r.n, r.err, pongs)
			}
			p.Close()
			c.Close()
		})
	})
}

// TestControlPongsIgnoreWriteDeadline: the write deadline is the user's, and is
// lifted for Pongs.
func TestControlPongsIgnoreWriteDeadline(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client})
			if n, err := c.Write([]byte("a")); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			p.want(fin|bin, "a")
			c.SetWriteDeadline(time.Now().Add(-time.Second))
			if n, err := c.Write([]byte("b")); n != 0 {
				t.Error(n, err)
			} else {
				checkTimeout(t, "Write", err)
			}
			read := readOn(c)
			for i := range 3 {
				p.send(fin|ping, fmt.Sprint(i))
				p.want(fin|pong, fmt.Sprint(i))
			}
			p.Close()
			<-read
			c.Close()
		})
	})
}

// TestControlUnsolicitedPongs: a Pong nobody asked for changes nothing (RFC
// 6455, 5.5.3).
func TestControlUnsolicitedPongs(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client})
			read := readOn(c)
			pongs := func() {
				for _, payload := range []string{"", "x", strings.Repeat("\xff", 8), string(make([]byte, 8)), "\x00\x00\x00\x00\x00\x00\x00\x09", strings.Repeat("p", 125)} {
					p.send(fin|pong, payload)
				}
				synctest.Wait()
			}
			pongs()
			p.wantNothing()
			done := beginErr(func() error { return c.Ping(t.Context()) })
			_, payload, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			pongs()
			pending(t, "Ping", done)
			p.send(fin|pong, payload)
			if r := <-done; r.err != nil {
				t.Error(r.err)
			}
			pongs()
			p.send(fin|cls, "")
			if r := <-read; r.err != io.EOF {
				t.Error(r.err)
			}
			p.Close()
			c.Close()
		})
	})
}

// TestControlBulkWithPings is rule 3's example: two peers write 64 MiB each,
// with a Ping per MiB, and one of them does not read before its own writing is
// done. All must finish, and every Ping be answered or stood for.
func TestControlBulkWithPings(t *testing.T) {
	checkLeaks(t)
	block := randomBytes(1 << 20)
	const blocks = 64
	sum := crc32.NewIEEE()
	for range blocks {
		sum.Write(block)
	}
	bothRoles(t, func(t *testing.T, clientReadsLate bool) {
		nc1, nc2 := tcpSockets(t)
		client, server := pair(nc1, nc2, clientReadsLate)
		var written, pinged sync.WaitGroup
		written.Add(2)
		var done []<-chan opResult
		for _, c := range []*walve.Conn{client, server} {
			read := make(chan struct{}) // closed when c is to read
			late := (c == client) == clientReadsLate
			if !late {
				close(read)
			}
			done = append(done, beginErr(func() error {
				for range blocks {
					if _, err := c.Write(block); err != nil {
						return err
					}
					pinged.Go(func() {
						if err := c.Ping(context.Background()); err != nil {
							t.Errorf("Ping: %v", err)
						}
					})
				}
				if late {
					close(read)
				}
				written.Done()
				written.Wait()
				pinged.Wait()
				return c.CloseWrite()
			}), begin(func() (int, error) {
				<-read
				got := crc32.NewIEEE()
				n, err := io.Copy(got, c)
				if got.Sum32() != sum.Sum32() {
					t.Error("other bytes came")
				}
				return int(n), err
			}))
		}
		for i, ch := range done {
			if r := <-ch; r.err != nil || i%2 == 1 && r.n != blocks*len(block) {
				t.Errorf("%d: %d bytes, %v", i, r.n, r.err)
			}
		}
		client.Close()
		server.Close()
	})
}

// A Pong may stand for earlier Pings (RFC 6455, 5.5.3).
func TestPingPongStandsForEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{})
		read := readOn(c)
		var done []<-chan opResult
		var payloads []string
		for range 5 {
			done = append(done, beginErr(func() error { return c.Ping(context.Background()) }))
			_, payload, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			payloads = append(payloads, payload)
		}
		p.send(fin|pong, payloads[2])
		synctest.Wait()
		for i, ch := range done {
			if i > 2 {
				pending(t, "Ping", ch)
			} else if r := <-ch; r.err != nil {
				t.Error(r.err)
			}
		}
		p.send(fin|pong, payloads[4])
		for _, ch := range done[3:] {
			if r := <-ch; r.err != nil {
				t.Error(r.err)
			}
		}
		p.Close()
		<-read
		c.Close()
	})
}

// TestPing: answered between any two Conns, by many callers at once and after
// CloseWrite between walve ends.
func TestPing(t *testing.T) {
	bothRoles(t, func(t *testing.T, pingsClient bool) {
		for _, halfClose := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				a, b := memconn.Pipe()
				c, other := pair(a, b, halfClose)
				if !pingsClient {
					c, other = other, c
				}
				read, otherRead := readOn(c), readOn(other)
				var wg sync.WaitGroup
				for range 2 * walve.MaxControl {
					wg.Go(func() {
						if err := c.Ping(t.Context()); err != nil {
							t.Errorf("Ping: %v", err)
						}
					})
				}
				wg.Wait()
				if !halfClose {
					c.Close()
					other.Close()
					<-read
					<-otherRead
					return
				}
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if r := <-otherRead; r.err != io.EOF {
					t.Fatal(r.err)
				}
				// The other may still write, so c may still ask whether it is there,
				// though its user has no reason to read any more.
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				pinged := beginErr(func() error { return c.Ping(ctx) })
				synctest.Wait()
				if n, err := other.Write([]byte("x")); n != 1 || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
				if r := <-pinged; r.err != nil {
					t.Errorf("Ping after CloseWrite: %v", r.err)
				}
				other.Close()
				<-read
				c.Close()
			})
		}
	})
}

// TestPingEnds: Ping returns when its context or the Conn ends.
func TestPingEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(c *walve.Conn, p *wirePeer)
		want error
	}{
		{"Close", func(c *walve.Conn, p *wirePeer) { c.Close() }, net.ErrClosed},
		{"Close frame of the peer", func(c *walve.Conn, p *wirePeer) { p.send(fin|cls, closePayload(1001, "")) }, net.ErrClosed},
		{"FIN", func(c *walve.Conn, p *wirePeer) { p.CloseWrite() }, io.ErrUnexpectedEOF},
		{"RST", func(c *walve.Conn, p *wirePeer) { p.Reset() }, nil},
		{"violation", func(c *walve.Conn, p *wirePeer) { p.send(15, "") }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: true})
				read := readOn(c)
				done := beginErr(func() error { return c.Ping(context.Background()) })
				synctest.Wait()
				pending(t, "Ping", done)
				tt.end(c, p)
				synctest.Wait()
				r := <-done
				wantOpError(t, "Ping", r.err, tt.want)
				wantOpError(t, "Ping afterwards", c.Ping(context.Background()), nil)
				p.Close()
				<-read
				c.Close()
				wantOpError(t, "Ping after Close", c.Ping(context.Background()), net.ErrClosed)
			})
		})
	}
}

// TestPingContext: the context bounds the wait and harms nothing.
func TestPingContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{})
		read := readOn(c)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantOpError(t, "Ping", c.Ping(ctx), context.Canceled)
		p.wantNothing()

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		wantOpError(t, "Ping", c.Ping(ctx), context.DeadlineExceeded)
		if d := time.Since(start); d != time.Second {
			t.Errorf("after %v", d)
		}
		_, late, _ := p.next()
		p.send(fin|pong, late)

		// A Ping that cannot leave, since the peer takes nothing.
		p.near.SetWriteLimit(0)
		ctx, cancel = context.WithCancel(t.Context())
		done := beginErr(func() error { return c.Ping(ctx) })
		synctest.Wait()
		pending(t, "Ping", done)
		cancel()
		wantOpError(t, "Ping", (<-done).err, context.Canceled)
		p.near.SetWriteLimit(-1)
		p.next()

		done = beginErr(func() error { return c.Ping(t.Context()) })
		_, payload, _ := p.next()
		p.send(fin|pong, payload)
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
		p.Close()
		<-read
		c.Close()
	})
}

// TestPingAfterCloseWriteForeign: a foreign peer gets nothing behind a Close
// frame.
func TestPingAfterCloseWriteForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{Client: true})
		read := readOn(c)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		p.wantClose(walve.StatusNormalClosure)
		wantOpError(t, "Ping", c.Ping(t.Context()), net.ErrClosed)
		p.send(fin|ping, "x")
		synctest.Wait()
		p.wantNothing()
		p.Close()
		<-read
		c.Close()
	})
}
