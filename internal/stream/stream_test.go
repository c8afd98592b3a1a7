package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/bodokaiser/walve/internal/stream"
	"github.com/bodokaiser/walve/internal/streamtest"
)

func TestConn(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				s, peer := kind.pair(t)
				return &streamtest.Conn{Stream: s}, peer, func() { s.Close(); peer.Close() }, nil
			})
		})
	}
}

func TestNetConn(t *testing.T) {
	a, b := net.Pipe()
	if got := stream.NetConn(stream.New(a)); got != a {
		t.Errorf("NetConn = %v", got)
	}
	b.Close()
	for _, kind := range kinds {
		s, peer := kind.pair(t)
		if got := stream.NetConn(s); got == nil || got.LocalAddr().String() != s.LocalAddr().String() {
			t.Errorf("%s: NetConn = %v", kind.name, got)
		}
		s.Abort()
		peer.Close()
	}
}

// Errors that a deadline, the peer and the user cause, for every kind.
func TestErrors(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			s, peer := kind.pair(t)
			defer peer.Close()
			past := time.Unix(1, 0)
			s.SetReadDeadline(past)
			s.SetWriteDeadline(past)
			timeout := func(op string, n int, err error) {
				t.Helper()
				var ne net.Error
				if n != 0 || !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s: %d, %v; want a timeout", op, n, err)
				}
				if tmp, ok := err.(interface{ Temporary() bool }); !ok || !tmp.Temporary() {
					t.Errorf("%s: %v is not temporary", op, err)
				}
			}
			n, err := s.Read(make([]byte, 1))
			timeout("Read", n, err)
			b, n, err := stream.ReadBuffer(s)
			timeout("ReadBuffer", n, err)
			if b != nil {
				t.Error("ReadBuffer: a Buffer without bytes")
			}
			n, err = s.Write([]byte("lost"))
			timeout("Write", n, err)

			// All goes on afterwards.
			s.SetReadDeadline(time.Time{})
			s.SetWriteDeadline(time.Time{})
			go peer.Write([]byte("hello"))
			b, n, err = stream.ReadBuffer(s)
			if err != nil || string(b[:n]) != "hello" {
				t.Fatalf("ReadBuffer: %q, %v", b[:n], err)
			}
			stream.PutBuffer(b)
			go s.Write([]byte("hello"))
			p := make([]byte, 5)
			if _, err := io.ReadFull(peer, p); err != nil || string(p) != "hello" {
				t.Fatalf("peer read %q, %v", p, err)
			}

			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			closed := func(op string, n int, err error) {
				t.Helper()
				if kind.name == "pipe" { // net.Pipe has an error of its own
					return
				}
				if n != 0 || !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s after Close: %d, %v", op, n, err)
				}
			}
			n, err = s.Read(make([]byte, 1))
			closed("Read", n, err)
			_, n, err = stream.ReadBuffer(s)
			closed("ReadBuffer", n, err)
			n, err = s.Write([]byte("x"))
			closed("Write", n, err)
			if kind.name != "pipe" {
				closed("CloseWrite", 0, s.CloseWrite())
				closed("Close", 0, s.Close())
				closed("SetReadDeadline", 0, s.SetReadDeadline(past))
				closed("SetWriteDeadline", 0, s.SetWriteDeadline(past))
			}
			if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("peer read after Close: %d, %v", n, err)
			}
		})
	}
}

// CloseWrite sends what Write has taken, then the end; Read goes on.
func TestHalfClose(t *testing.T) {
	for _, kind := range kinds {
		if kind.name == "pipe" {
			continue // it has no half-close
		}
		t.Run(kind.name, func(t *testing.T) {
			s, peer := kind.pair(t)
			defer peer.Close()
			defer s.Close()
			want := pattern(300_000)
			got := make(chan []byte)
			go func() {
				p, err := io.ReadAll(peer)
				if err != nil {
					t.Error(err)
				}
				got <- p
			}()
			if n, err := s.Write(want); n != len(want) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Fatalf("CloseWrite: %v", err)
			}
			if !bytes.Equal(<-got, want) {
				t.Error("the peer read something else")
			}
			if _, err := s.Write([]byte("x")); err == nil {
				t.Error("Write after CloseWrite: no error")
			}
			go peer.Write([]byte("answer"))
			p := make([]byte, 6)
			if _, err := io.ReadFull(s, p); err != nil || string(p) != "answer" {
				t.Errorf("read %q, %v", p, err)
			}
		})
	}
}

// Abort releases a blocked Read and Write, and TCP peers see a reset.
func TestAbort(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			s, peer := kind.pair(t)
			defer peer.Close()
			done := make(chan error, 2)
			started := make(chan bool)
			go func() {
				_, err := s.Read(make([]byte, 1))
				done <- err
			}()
			go func() {
				s.Write([]byte("x"))
				started <- true
				_, err := s.Write(make([]byte, 16<<20))
				done <- err
			}()
			if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			<-started
			s.Abort()
			for range 2 {
				if err := <-done; err == nil {
					t.Error("no error")
				}
			}
			s.Abort()
			switch _, err := io.Copy(io.Discard, peer); {
			case kind.name == "pipe" || kind.name == "unix":
			case !errors.Is(err, syscall.ECONNRESET):
				t.Errorf("peer: %v", err)
			}
		})
	}
}

func TestIsTimeout(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{os.ErrDeadlineExceeded, true},
		{&net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}, true},
		{foreignTimeout{}, true},
		{fmt.Errorf("mux: %w", foreignTimeout{}), true},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ETIMEDOUT)}, false},
		{syscall.EPIPE, false},
		{net.ErrClosed, false},
		{io.ErrClosedPipe, false},
	} {
		if got := stream.IsTimeout(tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}

type foreignTimeout struct{}

func (foreignTimeout) Error() string   { return "mux: timeout" }
func (foreignTimeout) Timeout() bool   { return true }
func (foreignTimeout) Temporary() bool { return true }
