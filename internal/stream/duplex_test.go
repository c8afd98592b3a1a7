package stream_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/stream"
)

// A duplex is a stream.Duplex over memory. It fails the test when it is used
// once Run has returned.
type duplex struct {
	*memconn.Conn
	t          *testing.T
	p          *stream.Pump
	stopsRead  atomic.Int32
	stopsWrite atomic.Int32
	short      atomic.Bool // Write leaves a byte out
}

func (d *duplex) used() {
	select {
	case <-d.p.Done():
		d.t.Error("used after Run has returned")
	default:
	}
}

func (d *duplex) Read(p []byte) (int, error) {
	d.used()
	return d.Conn.Read(p)
}

func (d *duplex) Write(p []byte) (int, error) {
	d.used()
	if d.short.Load() {
		p = p[1:]
	}
	return d.Conn.Write(p)
}

func (d *duplex) StopRead() {
	d.used()
	d.stopsRead.Add(1)
	d.Conn.SetReadDeadline(time.Unix(1, 0))
}

func (d *duplex) StopWrite() {
	d.used()
	d.stopsWrite.Add(1)
	d.Conn.Reset()
}

// pumpBuffer is what memory between a duplex and its peer holds.
const pumpBuffer = 1000

// pump runs f with a Pump over a duplex, which is run, and its peer.
func pump(t *testing.T, f func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(memconn.Buffer(pumpBuffer))
		d := &duplex{Conn: a, t: t}
		d.p = stream.NewPump(d)
		go d.p.Run()
		f(t, d.p, d, b)
		d.p.Abort()
		<-d.p.Done()
		b.Close()
	})
}

// isDone reports whether Run has returned, once all is quiet.
func isDone(p *stream.Pump) bool {
	synctest.Wait()
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// wantOp fails t unless err is the *net.OpError that package net would return.
func wantOp(t *testing.T, err error, op string, want error) {
	t.Helper()
	oe, ok := err.(*net.OpError)
	if !ok || oe.Op != op || !errors.Is(oe.Err, want) || oe.Source.String() != "a" || oe.Addr.String() != "b" {
		t.Errorf("%v, want %v of %s", err, want, op)
	}
}

// TestPump: every byte once in both directions, and a clean end.
func TestPump(t *testing.T) {
	for _, seed := range []uint64{0, 1, 2, 3} {
		pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
			if seed > 0 {
				d.SetReadSeed(seed)
				peer.SetReadSeed(seed)
			}
			want := pattern(300 << 10)
			go func() {
				peer.Write(want)
				peer.CloseWrite()
			}()
			back := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(peer)
				back <- b
			}()
			go func() {
				if n, err := p.Write(want); n != len(want) || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
			}()
			var got []byte
			buf := make([]byte, 5000)
			for i := 0; ; i++ {
				var n int
				var err error
				if i%2 == 0 {
					n, err = p.Read(buf)
					got = append(got, buf[:n]...)
				} else {
					var b *stream.Buffer
					if b, n, err = stream.ReadBuffer(p); err == nil {
						got = append(got, b[:n]...)
						stream.PutBuffer(b)
					}
				}
				if err == io.EOF {
					break
				}
				if n == 0 || err != nil {
					t.Fatalf("after %d bytes: %d, %v", len(got), n, err)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("read %d bytes, which are not what was sent", len(got))
			}
			synctest.Wait()
			if err := p.Flush(); err != nil {
				t.Error(err)
			}
			if isDone(p) {
				t.Error("Run has returned, though one may write on")
			}
			p.CloseWrite()
			if !isDone(p) {
				t.Error("Run goes on")
			}
			d.Conn.CloseWrite()
			if b := <-back; !bytes.Equal(b, want) {
				t.Errorf("the peer got %d bytes, which are not what was written", len(b))
			}
			if _, err := p.Read(buf); err != io.EOF {
				t.Errorf("Read: %v", err)
			}
		})
	}
}

// TestPumpNothing: nothing to read or write is no reason to wait.
func TestPumpNothing(t *testing.T) {
	pump(t, func(t *testing.T, p *stream.Pump, _ *duplex, _ *memconn.Conn) {
		if n, err := p.Read(nil); n != 0 || err != nil {
			t.Error(n, err)
		}
		if n, err := p.Write(nil); n != 0 || err != nil {
			t.Error(n, err)
		}
		if err := p.Flush(); err != nil {
			t.Error(err)
		}
	})
}

// TestPumpReadDeadline has a deadline pass before every byte, and together
// with it.
func TestPumpReadDeadline(t *testing.T) {
	for _, wait := range []time.Duration{300 * time.Millisecond, time.Second} {
		pump(t, func(t *testing.T, p *stream.Pump, _ *duplex, peer *memconn.Conn) {
			want := pattern(20)
			go func() {
				for i := range want {
					time.Sleep(time.Second)
					peer.Write(want[i : i+1])
				}
			}()
			var got []byte
			timeouts := 0
			buf := make([]byte, 5)
			for len(got) < len(want) {
				begun := time.Now()
				p.SetReadDeadline(begun.Add(wait))
				n, err := p.Read(buf)
				got = append(got, buf[:n]...)
				if n > 0 && err == nil {
					continue
				}
				timeouts++
				wantOp(t, err, "read", os.ErrDeadlineExceeded)
				if n > 0 || time.Since(begun) != wait {
					t.Fatalf("%d bytes after %v", n, time.Since(begun))
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%x", got)
			}
			if wait < time.Second && timeouts < len(want) {
				t.Errorf("%d timeouts", timeouts)
			}
			// One in the past acts at once, whatever there is.
			peer.Write([]byte("x"))
			synctest.Wait()
			p.SetReadDeadline(time.Unix(1, 0))
			_, err := p.Read(buf)
			wantOp(t, err, "read", os.ErrDeadlineExceeded)
			p.SetReadDeadline(time.Time{})
			if n, err := p.Read(buf); n != 1 || err != nil {
				t.Error(n, err)
			}
		})
	}
}

// TestPumpWriteDeadline: n is what the peer gets, whatever it reads in between.
func TestPumpWriteDeadline(t *testing.T) {
	for _, limit := range []int64{0, 1, 100, -1} { // what d takes at first, before its buffer is full
		pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
			d.SetWriteLimit(limit)
			want := pattern(400 << 10)
			begun := time.Now()
			p.SetWriteDeadline(begun.Add(time.Second))
			n, err := p.Write(want)
			wantOp(t, err, "write", os.ErrDeadlineExceeded)
			if time.Since(begun) != time.Second {
				t.Errorf("after %v", time.Since(begun))
			}
			if most := stream.MaxQueued + len(stream.Large{}) + pumpBuffer; n == 0 || n > most {
				t.Errorf("%d bytes were taken, want at most %d", n, most)
			}
			m, err := p.Write(want[n:])
			wantOp(t, err, "write", os.ErrDeadlineExceeded)
			if m != 0 {
				t.Errorf("a deadline in the past, and %d bytes were taken", m)
			}
			back := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(peer)
				back <- b
			}()
			d.SetWriteLimit(-1)
			p.SetWriteDeadline(time.Now().Add(time.Hour))
			if m, err = p.Write(want[n:]); m != len(want)-n || err != nil {
				t.Error(m, err)
			}
			p.CloseWrite()
			<-p.Done()
			d.Conn.CloseWrite()
			if b := <-back; !bytes.Equal(b, want) {
				t.Errorf("the peer got %d bytes, which are not what was written", len(b))
			}
		})
	}
}

// TestPumpFlush: Flush waits until all is with the Duplex, up to the deadline.
func TestPumpFlush(t *testing.T) {
	pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
		d.SetWriteLimit(0)
		p.Write([]byte("abc"))
		p.SetWriteDeadline(time.Now().Add(time.Second))
		wantOp(t, p.Flush(), "write", os.ErrDeadlineExceeded)
		p.SetWriteDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			d.SetWriteLimit(-1)
		}()
		if err := p.Flush(); err != nil {
			t.Error(err)
		}
		if n := peer.Unread(); n != 0 {
			t.Error(n)
		}
		if n := d.Unread(); n != 3 {
			t.Errorf("%d bytes are with the Duplex", n)
		}
		d.SetWriteLimit(0)
		p.Write([]byte("abc"))
		flushed := make(chan error)
		go func() { flushed <- p.Flush() }()
		synctest.Wait()
		go p.Close()
		wantOp(t, <-flushed, "write", net.ErrClosed)
	})
}

// TestPumpInterrupt: what interrupts a Read and a Write that wait, and that
// what was written before stays so.
func TestPumpInterrupt(t *testing.T) {
	for _, test := range []struct {
		name        string
		do          func(p *stream.Pump, d *duplex)
		read, write error
	}{
		{"deadline", func(p *stream.Pump, _ *duplex) {
			p.SetReadDeadline(time.Unix(1, 0))
			p.SetWriteDeadline(time.Unix(1, 0))
		}, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
		{"Close", func(p *stream.Pump, _ *duplex) { go p.Close() }, net.ErrClosed, net.ErrClosed},
		{"Abort", func(p *stream.Pump, _ *duplex) { p.Abort() }, net.ErrClosed, net.ErrClosed},
		{"reset", func(_ *stream.Pump, d *duplex) { d.Cut(0, memconn.RST) }, syscall.ECONNRESET, syscall.ECONNRESET},
	} {
		t.Run(test.name, func(t *testing.T) {
			pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
				read, write := make(chan error, 1), make(chan error, 1)
				go func() {
					_, err := p.Read(make([]byte, 1))
					read <- err
				}()
				go func() {
					n, err := p.Write(make([]byte, 1<<20))
					if n == 0 || n == 1<<20 {
						t.Errorf("%d bytes were written", n)
					}
					write <- err
				}()
				synctest.Wait()
				test.do(p, d)
				wantOp(t, <-read, "read", test.read)
				wantOp(t, <-write, "write", test.write)
			})
		})
	}
}

// TestPumpMemory: a peer that sends what nobody reads is held up.
func TestPumpMemory(t *testing.T) {
	pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
		want := pattern(1 << 20)
		go peer.Write(want)
		synctest.Wait()
		if n, most := peer.Written(), int64(stream.MaxQueued+len(stream.Large{})+pumpBuffer); n > most {
			t.Errorf("%d bytes were taken, want at most %d", n, most)
		}
		got := make([]byte, len(want))
		if n, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, want) {
			t.Error(n, err)
		}
	})
}

// TestPumpEnd: how a Pump ends, whether the Duplex is told to stop, when Run
// returns, and what the peer gets. "abc" was written, and busy says that the
// Duplex has not taken it.
func TestPumpEnd(t *testing.T) {
	closed := func(t *testing.T, p *stream.Pump) {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, test := range []struct {
		name  string
		busy  bool
		end   func(t *testing.T, p *stream.Pump)
		later func(d *duplex) // a second after that
		after time.Duration   // the end returns, and
		done  time.Duration   // Run does
		reset bool            // StopWrite was called
		got   string
	}{
		{"Close", false, closed, nil, 0, 0, false, "abc"},
		{"Close, busy", true, closed, (*duplex).free, time.Second, time.Second, false, "abc"},
		{"Close, busy for good", true, func(t *testing.T, p *stream.Pump) {
			wantOp(t, p.Close(), "close", os.ErrDeadlineExceeded)
		}, nil, 5 * time.Second, 5 * time.Second, true, ""},
		{"Close, then Abort", true, func(t *testing.T, p *stream.Pump) {
			time.AfterFunc(time.Second, p.Abort)
			closed(t, p)
		}, nil, time.Second, time.Second, true, ""},
		{"CloseWrite", false, func(t *testing.T, p *stream.Pump) { p.CloseWrite() }, nil, 0, 0, false, "abc"},
		{"CloseWrite, busy", true, func(t *testing.T, p *stream.Pump) {
			if err := p.CloseWrite(); err != nil {
				t.Error(err)
			}
			_, err := p.Write([]byte("x"))
			wantOp(t, err, "write", net.ErrClosed)
		}, (*duplex).free, 0, time.Second, false, "abc"},
		{"Abort", false, func(t *testing.T, p *stream.Pump) { p.Abort() }, nil, 0, 0, true, ""},
		{"Abort, busy", true, func(t *testing.T, p *stream.Pump) { p.Abort() }, nil, 0, 0, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
				if test.busy {
					d.SetWriteLimit(0)
				}
				p.Write([]byte("abc"))
				synctest.Wait()
				if d.stopsRead.Load() != 0 {
					t.Fatal("StopRead came first")
				}
				begun := time.Now()
				if test.later != nil {
					time.AfterFunc(time.Second, func() { test.later(d) })
				}
				test.end(t, p)
				if d := time.Since(begun); d != test.after {
					t.Errorf("returned after %v", d)
				}
				<-p.Done()
				if d := time.Since(begun); d != test.done {
					t.Errorf("Run returned after %v", d)
				}
				if n := d.stopsRead.Load(); n == 0 {
					t.Error("StopRead was not called")
				}
				if n := d.stopsWrite.Load(); (n > 0) != test.reset {
					t.Errorf("StopWrite was called %d times", n)
				}
				_, err := p.Read(make([]byte, 1))
				wantOp(t, err, "read", net.ErrClosed)
				p.Abort() // must not touch d any more
				d.Conn.CloseWrite()
				got, err := io.ReadAll(peer)
				if string(got) != test.got || (err != nil) != test.reset {
					t.Errorf("the peer got %q, %v", got, err)
				}
				_, err = p.Write([]byte("x"))
				wantOp(t, err, "write", net.ErrClosed)
				wantOp(t, p.Close(), "close", net.ErrClosed)
				wantOp(t, p.CloseWrite(), "close", net.ErrClosed)
				wantOp(t, p.SetReadDeadline(time.Time{}), "set", net.ErrClosed)
				wantOp(t, p.SetWriteDeadline(time.Time{}), "set", net.ErrClosed)
			})
		})
	}
}

// free has d take what was written.
func (d *duplex) free() { d.SetWriteLimit(-1) }

// TestPumpCloseWriteInterrupts: a Write that waits while CloseWrite is called
// fails, and what it counts reaches the peer.
func TestPumpCloseWriteInterrupts(t *testing.T) {
	pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
		want := pattern(1 << 20)
		wrote := make(chan int)
		go func() {
			n, err := p.Write(want)
			wantOp(t, err, "write", net.ErrClosed)
			wrote <- n
		}()
		synctest.Wait()
		p.CloseWrite()
		n := <-wrote
		if isDone(p) {
			t.Error("Run returned before the rest was written")
		}
		got := make([]byte, n)
		if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want[:n]) {
			t.Error("the peer got something else:", err)
		}
		if !isDone(p) {
			t.Error("Run goes on")
		}
	})
}

// TestPumpUnread: a Pump that ends does not wait for anyone to read.
func TestPumpUnread(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(p *stream.Pump)
	}{
		{"Close", func(p *stream.Pump) { p.Close() }},
		{"CloseWrite", func(p *stream.Pump) { p.CloseWrite() }},
		{"Abort", func(p *stream.Pump) { p.Abort() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
				go peer.Write(make([]byte, 1<<20))
				synctest.Wait()
				test.end(p)
				if !isDone(p) {
					t.Error("Run goes on")
				}
			})
		})
	}
}

// TestPumpFails: a Duplex that fails, in one direction or in both.
func TestPumpFails(t *testing.T) {
	t.Run("read", func(t *testing.T) {
		pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
			peer.Write([]byte("abc"))
			synctest.Wait()
			peer.Cut(3, memconn.RST)
			if !isDone(p) {
				t.Error("Run goes on")
			}
			buf := make([]byte, 10)
			if n, err := p.Read(buf); n != 3 || err != nil {
				t.Errorf("what has come before: %d, %v", n, err)
			}
			for range 2 {
				_, err := p.Read(buf)
				wantOp(t, err, "read", syscall.ECONNRESET)
				_, err = p.Write(buf)
				wantOp(t, err, "write", syscall.ECONNRESET)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("write", func(t *testing.T) {
		pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
			d.short.Store(true)
			if n, err := p.Write([]byte("abc")); n != 3 || err != nil {
				t.Error(n, err)
			}
			wantOp(t, p.Flush(), "write", io.ErrShortWrite)
			wantOp(t, p.Flush(), "write", io.ErrShortWrite)
			_, err := p.Write([]byte("abc"))
			wantOp(t, err, "write", io.ErrShortWrite)
			peer.Write([]byte("abc"))
			if n, err := p.Read(make([]byte, 10)); n != 3 || err != nil {
				t.Errorf("the other direction: %d, %v", n, err)
			}
			if isDone(p) {
				t.Error("Run has returned, though one may read on")
			}
		})
	})
}

// TestPumpLose: Run does not wait for Close once the Duplex is lost, but
// everything that has come can still be read.
func TestPumpLose(t *testing.T) {
	t.Run("after the end", func(t *testing.T) {
		pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
			peer.Write([]byte("abc"))
			peer.CloseWrite()
			if isDone(p) {
				t.Fatal("Run has returned, though one may write on")
			}
			p.Lose()
			if !isDone(p) {
				t.Error("Run goes on")
			}
			if b, err := io.ReadAll(p); string(b) != "abc" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			_, err := p.Write([]byte("x"))
			wantOp(t, err, "write", syscall.ECONNRESET)
		})
	})
	t.Run("before the end", func(t *testing.T) {
		pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
			p.Lose()
			peer.Write([]byte("abc"))
			peer.CloseWrite()
			if !isDone(p) {
				t.Error("Run goes on")
			}
			if b, err := io.ReadAll(p); string(b) != "abc" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		})
	})
	t.Run("while there is no room", func(t *testing.T) {
		pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
			want := pattern(stream.MaxQueued + 500)
			go func() {
				peer.Write(want)
				peer.CloseWrite()
			}()
			synctest.Wait()
			p.Lose()
			if b, err := io.ReadAll(p); !bytes.Equal(b, want) || err != nil {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			if !isDone(p) {
				t.Error("Run goes on")
			}
		})
	})
	t.Run("while it writes", func(t *testing.T) {
		pump(t, func(t *testing.T, p *stream.Pump, d *duplex, peer *memconn.Conn) {
			d.SetWriteLimit(0)
			p.Write([]byte("abc"))
			peer.CloseWrite()
			p.Lose()
			if isDone(p) {
				t.Error("Run has returned during a Write")
			}
			d.Reset() // as whoever lost it does
			if !isDone(p) {
				t.Error("Run goes on")
			}
		})
	})
}
