package walve_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestRule1OneByteSuffices: Read returns with the first byte of
// payload, whatever is still to come of its frame and whatever room there is.
func TestRule1OneByteSuffices(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, size := range []int{1, 2, 100, 255, 256, 4096, 64 << 10} {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client})
				defer c.Close()
				defer p.Close()
				b := longHeader(p.client, fin|bin, 70000)
				var got []byte
				for range 3 {
					b = append(b, 'x')
					q := make([]byte, size)
					read := begin(func() (int, error) { return c.Read(q) })
					for _, one := range b {
						synctest.Wait()
						pending(t, "Read", read)
						p.write([]byte{one})
					}
					synctest.Wait()
					if r := <-read; r.n != 1 || r.err != nil {
						t.Fatalf("Read of %d bytes: %d, %v; want the one byte there is", size, r.n, r.err)
					}
					got, b = append(got, q[0]), nil
				}
				if string(got) != "xxx" {
					t.Errorf("read %q", got)
				}
			})
		}
	})
}

// TestRule1SkipsEmptyFrames: Read never returns nothing, and neither empty
// frames nor control frames end its wait.
func TestRule1SkipsEmptyFrames(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, size := range []int{1, 64 << 10} {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client})
				defer c.Close()
				defer p.Close()
				q := make([]byte, size)
				read := begin(func() (int, error) { return c.Read(q) })
				for range 3 {
					for _, f := range []walve.Opcode{fin | bin, fin | text, bin, cont, fin | pong, fin | cont} {
						p.send(f, "")
						synctest.Wait()
						pending(t, "Read", read)
					}
				}
				p.send(text, "a")
				if r := <-read; r.n != 1 || r.err != nil || q[0] != 'a' {
					t.Errorf("Read: %d, %v", r.n, r.err)
				}
			})
		}
	})
}

// TestRule1ReadsOnAcrossFrames: one Read takes what has arrived in many
// frames, text and binary alike.
func TestRule1ReadsOnAcrossFrames(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		var frames []any
		var want strings.Builder
		for i := range 40 {
			s := fmt.Sprintf("message %02d", i)
			frames = append(frames, fin|text, s[:3], fin|bin, "", bin, s[3:4], fin|pong, "between", cont, s[4:6], fin|cont, s[6:])
			want.WriteString(s)
		}
		for _, size := range []int{1, 100, 64 << 10} {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client})
				defer c.Close()
				defer p.Close()
				p.write(sends(frames...)(p.client))
				for rest := want.String(); rest != ""; {
					q := make([]byte, size)
					n, err := c.Read(q)
					if expected := min(size, len(rest)); n != expected || err != nil || string(q[:n]) != rest[:n] {
						t.Fatalf("Read of %d bytes: %d (%.20q), %v; want %d: %.20q", size, n, q[:n], err, expected, rest)
					}
					rest = rest[n:]
				}
			})
		}
	})
}

// TestRule1WriteShapeOnTransports: Write(p) is one binary message, in frames of at
// most a piece, or what one writev takes, and FIN is on the last.
func TestRule1WriteShapeOnTransports(t *testing.T) {
	if walve.MaxWritev > 256<<10 || walve.PieceSize > walve.MaxWritev {
		t.Errorf("frames of up to %d and %d bytes", walve.PieceSize, walve.MaxWritev)
	}
	var sizes []int
	for _, n := range []int{1, 126, 4096, walve.PieceSize, 65536, walve.MaxWritev, 1 << 20} {
		sizes = append(sizes, n-14, n-10, n-4, n, n+1)
	}
	for _, tr := range rawPairs() {
		t.Run(tr.name, func(t *testing.T) {
			bothRoles(t, func(t *testing.T, client bool) {
				checkLeaks(t)
				near, far := tr.make(t)
				limit := walve.PieceSize
				if _, socket := near.(syscall.Conn); socket && !client {
					limit = walve.MaxWritev
				}
				c := walve.NewTestConn(near, walve.TestConfig{Client: client})
				defer c.Close()
				defer far.Close()
				fr := walve.NewFrameReader(far)
				data := randomBytes(2<<20 + 2)
				for _, n := range sizes {
					if n <= 0 {
						continue
					}
					write := begin(func() (int, error) { return c.Write(data[:n]) })
					wantMessage(t, fr, client, limit, data[:n])
					if r := <-write; r.n != n || r.err != nil {
						t.Fatalf("Write of %d bytes: %d, %v", n, r.n, r.err)
					}
				}
			})
		})
	}
}

// wantMessage checks that the next frames are one binary message of p.
func wantMessage(t *testing.T, fr *walve.FrameReader, masked bool, limit int, p []byte) {
	t.Helper()
	var got bytes.Buffer
	op := walve.OpBinary
	for {
		h, err := fr.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Opcode != op || h.Masked != masked || h.RSV1 || h.RSV2 || h.RSV3 || h.Length > int64(limit) || h.Length == 0 {
			t.Fatalf("message of %d bytes: frame %+v, %d bytes in", len(p), h, got.Len())
		}
		if _, err := io.Copy(&got, fr); err != nil {
			t.Fatal(err)
		}
		if h.Fin {
			break
		}
		op = walve.OpContinuation
	}
	if !bytes.Equal(got.Bytes(), p) {
		t.Fatalf("message of %d bytes: %d others came", len(p), got.Len())
	}
}

// TestRule1Whole: whatever the pieces in which bytes are written, read and
// carried, the same come out, both ways at once.
func TestRule1Whole(t *testing.T) {
	const total = 300 << 10
	for _, tr := range rawPairs() {
		t.Run(tr.name, func(t *testing.T) {
			checkLeaks(t)
			near, far := tr.make(t)
			for i, nc := range []net.Conn{near, far} {
				if m, ok := nc.(*memconn.Conn); ok {
					m.SetReadSeed(uint64(i + 1))
				}
			}
			client, server := pair(near, far, true)
			data := randomBytes(total)
			var done []<-chan opResult
			for i, c := range []*walve.Conn{client, server} {
				done = append(done, begin(func() (int, error) { return total, writeInPieces(c, data, uint64(i)) }),
					begin(func() (int, error) { return readInPieces(c, data, uint64(i)) }))
			}
			for i, ch := range done {
				if r := <-ch; r.err != nil || r.n != total {
					t.Errorf("%d: %d bytes, %v", i, r.n, r.err)
				}
			}
			client.Close()
			server.Close()
		})
	}
}

// writeInPieces writes p by Write, ReadFrom, NextWriter and WriteMessage.
func writeInPieces(c *walve.Conn, p []byte, seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for len(p) > 0 {
		n := min(1+rnd.IntN(1<<rnd.IntN(17)), len(p))
		piece := p[:n]
		p = p[n:]
		var err error
		switch rnd.IntN(4) {
		case 0:
			_, err = c.Write(piece)
		case 1:
			_, err = c.ReadFrom(bytes.NewReader(piece))
		case 2:
			err = c.WriteMessage(walve.OpBinary, piece)
		case 3:
			w, werr := c.NextWriter(walve.Header{Fin: true, Opcode: walve.OpBinary, Length: int64(n) * int64(rnd.IntN(2)*2-1)})
			if werr != nil {
				return werr
			}
			half := rnd.IntN(n + 1)
			if _, err = w.Write(piece[:half]); err == nil {
				_, err = w.Write(piece[half:])
			}
			if cerr := w.Close(); err == nil {
				err = cerr
			}
		}
		if err != nil {
			return err
		}
	}
	return c.CloseWrite()
}

// readInPieces reads to io.EOF and reports how many bytes were those of want.
func readInPieces(c *walve.Conn, want []byte, seed uint64) (n int, err error) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	q := make([]byte, 64<<10)
	for {
		m, err := c.Read(q[:1+rnd.IntN(1<<rnd.IntN(17))])
		if n+m > len(want) || !bytes.Equal(q[:m], want[n:n+m]) {
			return n, fmt.Errorf("other bytes behind %d", n)
		}
		n += m
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
