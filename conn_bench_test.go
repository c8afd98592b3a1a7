package walve_test

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// loop is a net.Conn that reads wire again and again and swallows writes: what
// is left is the cost of the framing.
type loop struct {
	wire []byte
	r    int
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.wire[l.r:])
	if l.r += n; l.r == len(l.wire) {
		l.r = 0
	}
	return n, nil
}

func (l *loop) Write(p []byte) (int, error)      { return len(p), nil }
func (l *loop) Close() error                     { return nil }
func (l *loop) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (l *loop) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (l *loop) SetDeadline(time.Time) error      { return nil }
func (l *loop) SetReadDeadline(time.Time) error  { return nil }
func (l *loop) SetWriteDeadline(time.Time) error { return nil }

func sizeName(n int) string {
	if n >= 1<<10 {
		return strconv.Itoa(n>>10) + "KiB"
	}
	return strconv.Itoa(n) + "B"
}

func eachRole(b *testing.B, sizes []int, run func(b *testing.B, client bool, size int)) {
	for _, role := range []string{"client", "server"} {
		for _, size := range sizes {
			b.Run(role+"/"+sizeName(size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				run(b, role == "client", size)
			})
		}
	}
}

func BenchmarkConnRead(b *testing.B) {
	eachRole(b, []int{64, 1 << 10, 16 << 10}, func(b *testing.B, client bool, size int) {
		h := walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: !client, MaskKey: [4]byte{1, 2, 3, 4}, Length: int64(size)}
		wire, _ := h.AppendBinary(nil)
		wire = append(wire, make([]byte, size)...)
		c := walve.NewTestConn(&loop{wire: wire}, walve.TestConfig{Client: client})
		p := make([]byte, size+14)
		for b.Loop() {
			if _, err := c.Read(p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkConnReadMessage(b *testing.B) {
	eachRole(b, []int{64, 1 << 10, 16 << 10}, func(b *testing.B, client bool, size int) {
		h := walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: !client, MaskKey: [4]byte{1, 2, 3, 4}, Length: int64(size)}
		wire, _ := h.AppendBinary(nil)
		wire = append(wire, make([]byte, size)...)
		c := walve.NewTestConn(&loop{wire: wire}, walve.TestConfig{Client: client})
		for b.Loop() {
			if _, _, err := c.ReadMessage(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkConnWrite(b *testing.B) {
	eachRole(b, []int{64, 1 << 10, 16 << 10, 1 << 20}, func(b *testing.B, client bool, size int) {
		c := walve.NewTestConn(&loop{}, walve.TestConfig{Client: client})
		p := make([]byte, size)
		for b.Loop() {
			if _, err := c.Write(p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEcho is a round trip over TCP; raw is the limit.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		for _, kind := range []string{"raw", "walve"} {
			b.Run(kind+"/"+sizeName(size), func(b *testing.B) {
				var c, s net.Conn
				c, s = tcpSockets(b)
				if kind == "walve" {
					c, s = pair(c, s, true)
				}
				defer c.Close()
				defer s.Close()
				go func() {
					p := make([]byte, 32<<10)
					for {
						n, err := s.Read(p)
						if err != nil {
							return
						}
						s.Write(p[:n])
					}
				}()
				b.SetBytes(int64(size))
				b.ReportAllocs()
				p, q := make([]byte, size), make([]byte, size+14)
				for b.Loop() {
					c.Write(p)
					if _, err := io.ReadAtLeast(c, q, size); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkPipelined keeps 16 messages of 128 bytes on their way on each of 64
// connections. The client is the same raw socket in every row.
func BenchmarkPipelined(b *testing.B) {
	const conns, depth, size = 64, 16, 128
	h := walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: true, Length: size}
	frame, _ := h.AppendBinary(nil)
	frames := bytes.Repeat(append(frame, make([]byte, size)...), depth)
	for _, kind := range []string{"raw", "Read", "ReadMessage"} {
		b.Run(kind, func(b *testing.B) {
			var wg sync.WaitGroup
			b.SetBytes(size)
			for range conns {
				client, s := tcpSockets(b)
				out, back := frames[:size*depth], size*depth
				if kind != "raw" {
					s = walve.NewTestConn(s, walve.TestConfig{})
					out = frames
				}
				go echo(s, kind == "ReadMessage")
				wg.Go(func() {
					defer client.Close()
					in := make([]byte, 4<<10)
					for range b.N/conns/depth + 1 {
						client.Write(out)
						for got := 0; got < back; { // payload at least, which is all of it but for headers
							n, err := client.Read(in)
							if err != nil {
								return
							}
							got += n
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func echo(s net.Conn, messages bool) {
	defer s.Close()
	if messages {
		c := s.(*walve.Conn)
		for {
			op, p, err := c.ReadMessage()
			if err != nil {
				return
			}
			c.WriteMessage(op, p)
		}
	}
	p := make([]byte, 4<<10)
	for {
		n, err := s.Read(p)
		if err != nil {
			return
		}
		s.Write(p[:n])
	}
}
