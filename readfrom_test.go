package walve_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

func randomFile(t testing.TB, n int) (*os.File, []byte) {
	t.Helper()
	want := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(want)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, want
}

// TestReadFromKernel copies files and sockets with io.Copy, as users do, over
// every transport and in both roles: with and without the kernel's help the
// peer gets the same bytes.
func TestReadFromKernel(t *testing.T) {
	checkLeaks(t)
	const size = 5<<20 + 123
	sources := []struct {
		name string
		open func(t *testing.T) (io.Reader, []byte)
	}{
		{"file", func(t *testing.T) (io.Reader, []byte) {
			f, want := randomFile(t, size)
			return f, want
		}},
		{"file in the middle, limited", func(t *testing.T) (io.Reader, []byte) {
			f, want := randomFile(t, size)
			f.Seek(100, io.SeekStart)
			return io.LimitReader(f, size-1000), want[100 : size-900]
		}},
		{"socket", func(t *testing.T) (io.Reader, []byte) {
			_, want := randomFile(t, size)
			a, b := tcpSockets(t)
			go func() { a.Write(want); a.Close() }()
			return b, want
		}},
		{"embedded file with a Read of its own", func(t *testing.T) (io.Reader, []byte) {
			f, want := randomFile(t, size)
			for i := range want {
				want[i] ^= 1
			}
			return struct{ fileReader }{flipReader{f}}, want
		}},
	}
	for _, p := range rawPairs() {
		for _, role := range []string{"client", "server"} {
			for _, src := range sources {
				t.Run(p.name+"/"+role+"/"+src.name, func(t *testing.T) {
					nc1, nc2 := p.make(t)
					w, r := pair(nc1, nc2, true)
					if role == "server" {
						w, r = r, w
					}
					from, want := src.open(t)
					done := make(chan error, 1)
					go func() {
						n, err := io.Copy(w, from)
						if err == nil && n != int64(len(want)) {
							t.Errorf("Copy = %d, want %d", n, len(want))
						}
						w.CloseWrite()
						done <- err
					}()
					got, err := io.ReadAll(r)
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
					}
					if err := <-done; err != nil {
						t.Error(err)
					}
					r.Close()
					w.Close()
				})
			}
		}
	}
}

// fileReader is what ReadFrom and package net look for in an *os.File, without
// its WriteTo.
type fileReader interface {
	io.ReadSeeker
	syscall.Conn
	Stat() (os.FileInfo, error)
}

type flipReader struct{ *os.File }

func (f flipReader) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	for i := range p[:n] {
		p[i] ^= 1
	}
	return n, err
}

// TestReadFromDeadline cuts ReadFrom of a file and of a socket by write
// deadlines again and again: what n counts, and nothing else, arrives.
func TestReadFromDeadline(t *testing.T) {
	checkLeaks(t)
	const size = 2<<20 + 7
	for _, kind := range []string{"file", "socket", "plain"} {
		for _, role := range []string{"client", "server"} {
			t.Run(kind+"/"+role, func(t *testing.T) {
				f, want := randomFile(t, size)
				var from io.Reader = f
				switch kind {
				case "socket":
					a, b := tcpSockets(t)
					go func() { a.Write(want); a.Close() }()
					defer b.Close()
					from = b
				case "plain":
					from = struct{ io.Reader }{f}
				}
				nc1, nc2 := tcpSockets(t)
				nc1.(*net.TCPConn).SetWriteBuffer(4 << 10)
				nc2.(*net.TCPConn).SetWriteBuffer(4 << 10)
				w, r := pair(nc1, nc2, true)
				if role == "server" {
					w, r = r, w
				}
				got := make(chan []byte, 1)
				start := make(chan struct{})
				go func() {
					<-start
					b, err := io.ReadAll(r)
					if err != nil {
						t.Error(err)
					}
					got <- b
				}()
				cuts := 0
				var total int64
				for {
					w.SetWriteDeadline(time.Now().Add(time.Millisecond))
					n, err := w.ReadFrom(from)
					total += n
					if err == nil {
						break
					}
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatal(err)
					}
					if cuts++; cuts == 20 {
						close(start)
					}
				}
				if cuts < 20 {
					close(start)
				}
				w.SetWriteDeadline(time.Time{})
				if total != size {
					t.Errorf("ReadFrom counted %d of %d", total, size)
				}
				if err := w.CloseWrite(); err != nil {
					t.Error(err)
				}
				if b := <-got; !bytes.Equal(b, want) {
					t.Errorf("got %d bytes, equal prefix %d", len(b), equalPrefix(b, want))
				}
				t.Logf("%d cuts", cuts)
				r.Close()
				w.Close()
			})
		}
	}
}

// TestRule4ReadFromReset resets the socket that ReadFrom reads while it waits: a
// relay that took this for the end would make a clean one of it.
func TestRule4ReadFromReset(t *testing.T) {
	checkLeaks(t)
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			nc1, nc2 := tcpSockets(t)
			w, r := pair(nc1, nc2, true)
			if role == "server" {
				w, r = r, w
			}
			source, from := tcpSockets(t)
			defer from.Close()
			const half = "half of it"
			io.WriteString(source, half)
			done := make(chan error, 1)
			go func() {
				n, err := w.ReadFrom(from)
				if n != int64(len(half)) {
					t.Errorf("ReadFrom = %d", n)
				}
				done <- err
			}()
			if _, err := io.ReadFull(r, make([]byte, len(half))); err != nil {
				t.Fatal(err)
			}
			source.(*net.TCPConn).SetLinger(0)
			source.Close()
			err := <-done
			if _, ok := err.(*net.OpError); !ok || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("ReadFrom: %v, want a *net.OpError around ECONNRESET", err)
			}
			w.Close()
			r.Close()
		})
	}
}

func equalPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

var _ io.ReaderFrom = (*walve.Conn)(nil)
