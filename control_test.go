package walve_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
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
		got, err := readToError(c, 4096)
		return len(got), err
	})
}

// TestRule3PongsInOrder: while the writer keeps up every Ping is
// answered, in order and with its payload, between fragments too.
func TestRule3PongsInOrder(t *testing.T) {
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

// TestRule3PongsAsManyAsFit: up to the bound of the queue every Ping that
// arrives at once is answered.
func TestRule3PongsAsManyAsFit(t *testing.T) {
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

// TestRule3PongQueueIsBounded: of a flood of Pings to a peer that takes
// nothing the newest is answered, a bounded number besides, and the reader has
// never waited.
func TestRule3PongQueueIsBounded(t *testing.T) {
	const flood = 10000
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client})
			p.near.SetWriteLimit(3) // inside a frame
			write := begin(func() (int, error) { return c.Write([]byte("data")) })
			synctest.Wait()
			goroutines := liveGoroutines()
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
			if n := liveGoroutines(); n > goroutines+flood/100 { // the process has others
				t.Errorf("%d goroutines during the flood, %d before", n, goroutines)
			}
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

// TestRule3ReaderNeverWaitsForWriter: while a Write is stuck, Pings and data
// are read, and the Pongs leave between its frames once the peer takes them.
func TestRule3ReaderNeverWaitsForWriter(t *testing.T) {
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

// TestRule3PongsIgnoreWriteDeadline: the write deadline is the user's, and is
// lifted for Pongs.
func TestRule3PongsIgnoreWriteDeadline(t *testing.T) {
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

// TestRule3UnsolicitedPongs: a Pong nobody asked for changes nothing (RFC
// 6455, 5.5.3).
func TestRule3UnsolicitedPongs(t *testing.T) {
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

// TestRule3BulkWithPings: two peers write 64 MiB each,
// with a Ping per MiB, and one of them does not read before its own writing is
// done. All must finish, and every Ping be answered or stood for.
func TestRule3BulkWithPings(t *testing.T) {
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
				var err error
				for i := 0; i < blocks && err == nil; i++ {
					_, err = c.Write(block)
					pinged.Go(func() {
						if err := c.Ping(context.Background()); err != nil {
							t.Errorf("Ping: %v", err)
						}
					})
				}
				if err != nil {
					client.Close()
					server.Close()
				}
				if late {
					close(read)
				}
				written.Done()
				written.Wait()
				pinged.Wait()
				return errors.Join(err, c.CloseWrite())
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
