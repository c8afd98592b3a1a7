package stream_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve/internal/stream"
)

func TestTCPSize(t *testing.T) {
	if runtime.GOOS != "windows" && stream.TCPSize > 64 {
		t.Errorf("a TCP Stream has %d bytes, more than the size class of 64", stream.TCPSize)
	}
}

// fills are ReadBuffer and ReadLarge.
var fills = []struct {
	name string
	read func(t *testing.T, s stream.Stream) ([]byte, error)
}{
	{"ReadBuffer", func(t *testing.T, s stream.Stream) (got []byte, err error) {
		b, n, err := stream.ReadBuffer(s)
		if (b == nil) != (n == 0) {
			t.Errorf("ReadBuffer: %p, %d", b, n)
		} else if n > 0 {
			got = bytes.Clone(b[:n])
			stream.PutBuffer(b)
		}
		return got, err
	}},
	{"ReadLarge", func(t *testing.T, s stream.Stream) (got []byte, err error) {
		b, n, err := stream.ReadLarge(s)
		if (b == nil) != (n == 0) {
			t.Errorf("ReadLarge: %p, %d", b, n)
		} else if n > 0 {
			got = bytes.Clone(b[:n])
			stream.PutLarge(b)
		}
		return got, err
	}},
}

// ReadBuffer and ReadLarge give all bytes, in order, whatever there is at a time.
func TestReadBuffer(t *testing.T) {
	for i := range 2 * len(kinds) {
		kind, fill := kinds[i/2], fills[i%2]
		t.Run(kind.name+"/"+fill.name, func(t *testing.T) {
			s, peer := kind.pair(t)
			defer s.Abort()
			want := pattern(100_000)
			go func() {
				peer.Write(want[:1])
				peer.Write(want[1:])
				peer.Close()
			}()
			var got []byte
			for {
				p, err := fill.read(t, s)
				got = append(got, p...)
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, want) {
				t.Error("something else was read")
			}
		})
	}
}

// ReadBuffer and ReadLarge of a socket fail with the very error that Read does.
func TestReadBufferErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		want error
		do   func(c, peer net.Conn)
	}{
		{"end", io.EOF, func(c, peer net.Conn) { peer.Close() }},
		{"deadline", os.ErrDeadlineExceeded, func(c, peer net.Conn) { c.SetReadDeadline(time.Unix(1, 0)) }},
		{"closed", net.ErrClosed, func(c, peer net.Conn) { c.Close() }},
		{"reset", syscall.ECONNRESET, func(c, peer net.Conn) {
			peer.(*net.TCPConn).SetLinger(0)
			peer.Close()
		}},
	} {
		// While it waits, and when it comes late. The pair of errors is that of
		// one connection, so that the addresses are the same.
		for i := range 2 * len(fills) {
			waiting, fill := i%2 == 1, fills[i/2]
			t.Run(fmt.Sprintf("%s/%s/waiting=%t", tt.name, fill.name, waiting), func(t *testing.T) {
				c, peer := socketPair(t, "tcp")
				defer c.Close()
				defer peer.Close()
				s := stream.New(c)
				done := make(chan error, 1)
				read := func() {
					_, err := fill.read(t, s)
					done <- err
				}
				if waiting {
					go read()
					waitIO(t, 1)
					tt.do(c, peer)
				} else {
					tt.do(c, peer)
					go read()
				}
				got := <-done
				if !errors.Is(got, tt.want) {
					t.Fatalf("%v, want %v", got, tt.want)
				}
				if tt.want == syscall.ECONNRESET { // is told once; compare the shape
					want := &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(),
						Err: os.NewSyscallError("read", syscall.ECONNRESET)}
					if got.Error() != want.Error() {
						t.Errorf("%v, want %v", got, want)
					}
				} else if _, want := c.Read(make([]byte, 1)); got.Error() != want.Error() {
					t.Errorf("%v, but Read says %v", got, want)
				}
			})
		}
	}
}

// waitIO waits until n goroutines wait for input in ReadBuffer or ReadLarge.
func waitIO(t *testing.T, n int) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for limit := time.Now().Add(time.Minute); ; runtime.Gosched() {
		count := 0
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "[IO wait") && strings.Contains(g, "waiter).wait") {
				count++
			}
		}
		if count >= n {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d of %d goroutines wait for input", count, n)
		}
	}
}

// A connection that waits in ReadBuffer holds no Buffer.
func TestReadBufferHoldsNone(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops at random")
	}
	if runtime.GOOS == "windows" {
		t.Skip("needs a unix system")
	}
	const conns = 200
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			var streams []stream.Stream
			var peers []net.Conn
			for range conns {
				a, b := socketPair(t, network)
				streams, peers = append(streams, stream.New(a)), append(peers, b)
			}
			heap := func() int64 {
				runtime.GC()
				runtime.GC() // the pool survives one
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			before := heap()
			once, done := make(chan bool), make(chan bool)
			for _, s := range streams {
				go func() {
					for i := range 2 { // the second wait is the one to look at
						if i == 1 {
							once <- true
						}
						b, n, err := stream.ReadBuffer(s)
						if n > 0 {
							stream.PutBuffer(b)
						} else if err == nil {
							t.Error("nothing")
						}
					}
					done <- true
				}()
			}
			for _, peer := range peers {
				peer.Write([]byte("x"))
			}
			for range conns {
				<-once
			}
			waitIO(t, conns)
			if per := (heap() - before) / conns; per > 1000 {
				t.Errorf("%d bytes of heap for a connection that waits", per)
			} else {
				t.Logf("%d bytes of heap for a connection that waits", per)
			}
			for _, peer := range peers {
				peer.Close()
			}
			for range conns {
				<-done
			}
			for _, s := range streams {
				s.Close()
			}
		})
	}
}

// Nothing is allocated for a ReadBuffer or a Write in the ordinary case: over
// a Transport that also means no queue and no goroutine.
func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops at random")
	}
	for _, kind := range kinds {
		switch kind.name {
		case "tcp", "unix", "tls transport tcp":
		default:
			continue
		}
		t.Run(kind.name, func(t *testing.T) {
			s, peer := kind.pair(t)
			defer s.Close()
			defer peer.Close()
			go io.Copy(peer, struct{ io.Reader }{peer})
			p := pattern(1000)
			s.SetWriteDeadline(time.Now().Add(time.Hour))
			allocs := testing.AllocsPerRun(200, func() {
				if _, err := s.Write(p); err != nil {
					t.Error(err)
				}
				for got := 0; got < len(p); {
					b, n, err := stream.ReadBuffer(s)
					if err != nil {
						t.Fatal(err)
					}
					stream.PutBuffer(b)
					got += n
				}
			})
			limit := 0.0
			if strings.HasPrefix(kind.name, "tls") {
				limit = tlsAllocs(t)
			}
			if allocs > limit {
				t.Errorf("%v allocations, want %v", allocs, limit)
			}
		})
	}
}

// tlsAllocs is what crypto/tls itself allocates to echo 1000 bytes.
func tlsAllocs(t *testing.T) float64 {
	a, b := socketPair(t, "tcp")
	s, peer := secure(t, tls.VersionTLS13, plain, a, b)
	c := stream.NetConn(s)
	defer c.Close()
	defer peer.Close()
	go io.Copy(peer, struct{ io.Reader }{peer})
	p := pattern(1000)
	buf := make([]byte, 4096)
	return testing.AllocsPerRun(200, func() {
		c.Write(p)
		for got := 0; got < len(p); {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	})
}

// WriteBuffers counts exactly when a deadline cuts it, and consumes what it
// has sent.
func TestWriteBuffers(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			c, peer := socketPair(t, network)
			defer peer.Close()
			s := stream.New(c)
			want := pattern(16 << 20)
			bufs := net.Buffers{want[:14], want[14:20000], want[20000:]}
			s.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)) // more than the system takes
			n, err := s.(stream.BuffersWriter).WriteBuffers(&bufs)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("WriteBuffers = %d, %v", n, err)
			}
			s.SetWriteDeadline(time.Time{})
			go func() {
				if m, err := s.(stream.BuffersWriter).WriteBuffers(&bufs); n+m != int64(len(want)) || err != nil {
					t.Errorf("WriteBuffers = %d, then %d, %v", n, m, err)
				}
				s.Close()
			}()
			if got, err := io.ReadAll(peer); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the peer read something else (%d bytes, %v)", len(got), err)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	buf := make([]byte, 4096)
	for _, way := range []struct {
		name string
		read func(net.Conn, stream.Stream) (int, error)
	}{
		{"raw", func(c net.Conn, _ stream.Stream) (int, error) { return c.Read(buf) }},
		{"stream", func(_ net.Conn, s stream.Stream) (int, error) { return s.Read(buf) }},
		{"buffer", func(_ net.Conn, s stream.Stream) (int, error) {
			b, n, err := stream.ReadBuffer(s)
			if n > 0 {
				stream.PutBuffer(b)
			}
			return n, err
		}},
	} {
		b.Run("backlog/"+way.name, func(b *testing.B) {
			c, peer := socketPair(b, "tcp")
			s := stream.New(c)
			go func() {
				p := make([]byte, 256<<10)
				for {
					if _, err := peer.Write(p); err != nil {
						return
					}
				}
			}()
			b.SetBytes(4096)
			for b.Loop() {
				way.read(c, s)
			}
			c.Close()
			peer.Close()
		})
		b.Run("pingpong/"+way.name, func(b *testing.B) {
			c, peer := socketPair(b, "tcp")
			s := stream.New(c)
			go io.Copy(peer, struct{ io.Reader }{peer})
			for b.Loop() {
				c.Write(buf[:128])
				way.read(c, s)
			}
			c.Close()
			peer.Close()
		})
	}
}

func BenchmarkWriteTLS(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, name := range []string{"raw", "transport", "pump"} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				over := plain
				if name == "transport" {
					over = transport
				}
				a, c := socketPair(b, "tcp")
				s, peer := secure(b, tls.VersionTLS13, over, a, c)
				var w io.Writer = s
				if name == "raw" {
					w = stream.NetConn(s)
				}
				go io.Copy(io.Discard, c) // undecrypted
				p := make([]byte, size)
				b.SetBytes(int64(size))
				for b.Loop() {
					w.Write(p)
				}
				s.Abort()
				peer.Close()
			})
		}
	}
}
