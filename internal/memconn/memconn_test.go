package memconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/bodokaiser/walve/internal/memconn"
)

var _ net.Conn = (*memconn.Conn)(nil)

func TestConn(t *testing.T) {
	for name, opts := range map[string][]memconn.Option{
		"default": nil, "64 bytes": {memconn.Buffer(64)}, "reset": {memconn.ResetUnread()},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := memconn.Pipe(opts...)
				return a, b, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}

// write fails the test unless Write of p takes n bytes and returns an error
// that is want.
func write(t *testing.T, c *memconn.Conn, p string, n int, want error) {
	t.Helper()
	if got, err := c.Write([]byte(p)); got != n || !errors.Is(err, want) {
		t.Fatalf("Write(%q) = %d, %v; want %d, %v", p, got, err, n, want)
	}
}

// read fails the test unless Read gives p, or want if p is empty.
func read(t *testing.T, c *memconn.Conn, p string, want error) {
	t.Helper()
	b := make([]byte, 100)
	if n, err := c.Read(b); string(b[:n]) != p || !errors.Is(err, want) {
		t.Fatalf("Read = %q, %v; want %q, %v", b[:n], err, p, want)
	}
}

func TestWriteLimitCutsExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe()
		for n := range 5 {
			a.SetWriteLimit(int64(n))
			a.SetWriteDeadline(time.Now().Add(time.Second))
			write(t, a, "hello", n, os.ErrDeadlineExceeded)
			a.SetWriteDeadline(time.Time{})
			a.SetWriteLimit(-1)
			write(t, a, "hello"[n:], 5-n, nil)
			read(t, b, "hello", nil)
		}
		a.SetWriteLimit(2)
		go a.Write([]byte("hello"))
		synctest.Wait()
		read(t, b, "he", nil)
		if n, err := b.Read(nil); n != 0 || err != nil { // does not wait
			t.Errorf("Read(nil) = %d, %v", n, err)
		}
		a.SetWriteLimit(3)
		synctest.Wait()
		read(t, b, "llo", nil)
		if n := a.Written(); n != 30 {
			t.Errorf("Written = %d", n)
		}
	})
}

func TestGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(memconn.Buffer(2))
		write(t, a, "he", 2, nil)
		go a.Write([]byte("llo"))
		synctest.Wait()
		for _, n := range []int{5, 1} {
			b.Grow(n)
			synctest.Wait()
			if n := a.Written(); n != 5 {
				t.Errorf("Written = %d", n)
			}
		}
		read(t, b, "hello", nil)
	})
}

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(memconn.Buffer(4))
		a.Stall()
		a.SetWriteDeadline(time.Now().Add(time.Second))
		write(t, a, "hello", 4, os.ErrDeadlineExceeded)
		b.SetReadDeadline(time.Now().Add(time.Second))
		read(t, b, "", os.ErrDeadlineExceeded)
		b.SetReadDeadline(time.Time{})
		a.Close()
		time.AfterFunc(time.Second, a.Resume)
		read(t, b, "hell", nil)
		read(t, b, "", io.EOF)
	})
}

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := range 6 {
			a, b := memconn.Pipe()
			a.Cut(int64(n), memconn.FIN)
			write(t, a, "hello", 5, nil)
			write(t, a, "hello", 5, nil)
			if n > 0 {
				read(t, b, "hello"[:n], nil)
			}
			read(t, b, "", io.EOF)
			write(t, b, "hi", 2, nil)
			read(t, a, "hi", nil)

			a, b = memconn.Pipe()
			a.Cut(int64(n), memconn.RST)
			if n < 5 {
				write(t, a, "hello", n, syscall.ECONNRESET)
			} else {
				write(t, a, "hello", n, nil)
			}
			write(t, a, "hello", 0, syscall.ECONNRESET)
			read(t, a, "", syscall.ECONNRESET)
			write(t, b, "hello", 0, syscall.ECONNRESET)
			if n > 0 {
				read(t, b, "hello"[:n], nil)
			}
			read(t, b, "", syscall.ECONNRESET)
		}
		a, b := memconn.Pipe()
		write(t, a, "hello", 5, nil)
		a.Cut(3, memconn.FIN)
		read(t, b, "hello", nil)
		read(t, b, "", io.EOF)
	})
}

func TestClose(t *testing.T) {
	t.Run("half", func(t *testing.T) {
		a, b := memconn.Pipe()
		write(t, a, "bye", 3, nil)
		a.CloseWrite()
		write(t, a, "x", 0, syscall.EPIPE)
		read(t, b, "bye", nil)
		read(t, b, "", io.EOF)
		write(t, b, "yes", 3, nil)
		read(t, a, "yes", nil)
	})
	t.Run("unread", func(t *testing.T) {
		for _, reset := range []bool{false, true} {
			var opts []memconn.Option
			if reset {
				opts = append(opts, memconn.ResetUnread())
			}
			a, b := memconn.Pipe(opts...)
			write(t, a, "tail", 4, nil)
			write(t, b, "unread", 6, nil)
			a.Close()
			if reset {
				read(t, b, "", syscall.ECONNRESET)
				write(t, b, "x", 0, syscall.ECONNRESET)
			} else {
				read(t, b, "tail", nil)
				write(t, b, "in vain", 7, nil)
				write(t, b, "x", 0, syscall.EPIPE)
				read(t, b, "", io.EOF)
			}
			read(t, a, "", net.ErrClosed)
			write(t, a, "x", 0, net.ErrClosed)
		}
	})
	t.Run("more", func(t *testing.T) {
		a, b := memconn.Pipe(memconn.ResetUnread())
		write(t, a, "tail", 4, nil)
		a.Close()
		write(t, b, "more", 4, nil)
		read(t, b, "", syscall.ECONNRESET)
	})
	t.Run("reset", func(t *testing.T) {
		a, b := memconn.Pipe()
		write(t, a, "lost", 4, nil)
		a.SetLinger(0)
		a.Close()
		read(t, b, "", syscall.ECONNRESET)
		write(t, b, "x", 0, syscall.ECONNRESET)
		if err := a.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestReadSizes(t *testing.T) {
	sizes := func(set func(*memconn.Conn)) (sizes []int) {
		a, b := memconn.Pipe()
		set(b)
		want := bytes.Repeat([]byte("0123456789"), 10)
		a.Write(want)
		a.Close()
		var got []byte
		p := make([]byte, 100)
		for {
			n, err := b.Read(p)
			if err != nil {
				break
			}
			sizes = append(sizes, n)
			got = append(got, p[:n]...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("read %q", got)
		}
		return sizes
	}
	if got := sizes(func(c *memconn.Conn) { c.SetMaxRead(40) }); !slices.Equal(got, []int{40, 40, 20}) {
		t.Errorf("SetMaxRead(40): %v", got)
	}
	seven := sizes(func(c *memconn.Conn) { c.SetReadSeed(7) })
	again := sizes(func(c *memconn.Conn) { c.SetReadSeed(7) })
	if len(seven) < 3 || !slices.Equal(seven, again) {
		t.Errorf("SetReadSeed(7): %v, then %v", seven, again)
	}
}
