package walve_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// refused are headers that NextWriter refuses when no message is open.
var refused = func() map[string]walve.Header {
	m := map[string]walve.Header{
		"continuation":         {Opcode: walve.OpContinuation},
		"last continuation":    {Fin: true, Opcode: walve.OpContinuation, Length: -1},
		"reserved bit 1":       {Fin: true, Opcode: walve.OpText, RSV1: true},
		"reserved bit 2":       {Fin: true, Opcode: walve.OpBinary, RSV2: true},
		"reserved bit 3":       {Opcode: walve.OpBinary, RSV3: true, Length: -1},
		"an opcode of 5 bits":  {Fin: true, Opcode: 0x11},
		"the opcode 8 bits on": {Fin: true, Opcode: 0x82},
	}
	for op := walve.Opcode(3); op < 16; op++ {
		m[fmt.Sprintf("opcode %d", op)] = walve.Header{Fin: true, Opcode: op}
	}
	return m
}()

// TestRule9NextWriterRefuses: control and reserved opcodes, reserved bits
// and a continuation without a message give an error and send nothing.
func TestRule9NextWriterRefuses(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client})
			for name, h := range refused {
				w, err := c.NextWriter(h)
				if w != nil {
					t.Errorf("%s: a writer", name)
				}
				wantOpError(t, name, err, nil)
				if op := h.Opcode; !h.RSV1 && !h.RSV2 && !h.RSV3 {
					wantOpError(t, "WriteMessage of "+name, c.WriteMessage(op, []byte("x")), nil)
				}
				p.wantNothing()
			}
			if n, err := c.Write([]byte("fine")); n != 4 || err != nil {
				t.Error(n, err)
			}
			p.want(fin|bin, "fine")
			p.Close()
			c.Close()
		})
	})
}

// nextWriter begins a frame, or fails t.
func nextWriter(t *testing.T, c *walve.Conn, h walve.Header) io.WriteCloser {
	t.Helper()
	w, err := c.NextWriter(h)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func writeN(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if n, err := io.WriteString(w, s); n != len(s) || err != nil {
		t.Fatalf("Write of %d bytes: %d, %v", len(s), n, err)
	}
}

func closeW(t *testing.T, w io.Closer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatalf("Close of a writer: %v", err)
	}
}

// TestRule9NextWriterLength: with h.Length >= 0 it is one frame of exactly that many
// bytes, in whatever pieces they are written, and masked as the role asks,
// whatever h says.
func TestRule9NextWriterLength(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		keys := map[[4]byte]bool{}
		for _, size := range []int{0, 1, 2, 125, 126, 65535, 65536, 300000} {
			for _, piece := range []int{1, 1000, walve.PieceSize, 300000} {
				if size > 1000*piece {
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Client: client})
					defer c.Close()
					defer p.Close()
					payload := filler(size)
					h := walve.Header{Fin: true, Opcode: walve.OpText, Masked: !client, MaskKey: testKey, Length: int64(size)}
					write := beginErr(func() error {
						w, err := c.NextWriter(h)
						for rest := payload; rest != "" && err == nil; {
							n := min(piece, len(rest))
							_, err = io.WriteString(w, rest[:n])
							rest = rest[n:]
						}
						return errors.Join(err, w.Close())
					})
					got, sent, err := p.next()
					if err != nil || got.Length != int64(size) || firstByte(got) != fin|text || sent != payload {
						t.Errorf("%d bytes by %d: %+v, %v", size, piece, got, err)
					}
					if client {
						if keys[got.MaskKey] || got.MaskKey == testKey {
							t.Errorf("masking key %x again", got.MaskKey)
						}
						keys[got.MaskKey] = true
					}
					if r := <-write; r.err != nil {
						t.Error(r.err)
					}
					p.wantNothing()
				})
			}
		}
	})
}

// TestRule9NextWriterTooLong: what is beyond the length is not sent and an error,
// what fits is.
func TestRule9NextWriterTooLong(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client})
			w := nextWriter(t, c, walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 5})
			writeN(t, w, "abc")
			n, err := io.WriteString(w, "defg")
			if n != 2 {
				t.Errorf("%d bytes, want the 2 that fit", n)
			}
			wantOpError(t, "Write", err, walve.ErrWriteTooLong)
			n, err = io.WriteString(w, "h")
			if n != 0 {
				t.Errorf("%d bytes", n)
			}
			wantOpError(t, "Write", err, walve.ErrWriteTooLong)
			if n, err := w.Write(nil); n != 0 || err != nil {
				t.Errorf("Write of nothing: %d, %v", n, err)
			}
			closeW(t, w)
			wantOpError(t, "second Close", w.Close(), nil)
			_, err = io.WriteString(w, "h")
			wantOpError(t, "Write after Close", err, nil)
			p.want(fin|bin, "abcde")
			w = nextWriter(t, c, walve.Header{Fin: true, Opcode: walve.OpBinary})
			_, err = io.WriteString(w, "h")
			wantOpError(t, "Write to an empty frame", err, walve.ErrWriteTooLong)
			closeW(t, w)
			p.want(fin|bin, "")
			p.Close()
			c.Close()
		})
	})
}

// TestRule9NextWriterUnknownLength: with h.Length < 0 what is written leaves as
// fragments, as the buffer fills, and the last one, with h.Fin, at Close.
func TestRule9NextWriterUnknownLength(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, size := range []int{0, 1, 1000, walve.PieceSize - 20, walve.PieceSize, 3*walve.PieceSize + 5} {
			for _, last := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Client: client}, memconn.Buffer(1<<20))
					defer c.Close()
					defer p.Close()
					payload := filler(size)
					w := nextWriter(t, c, walve.Header{Fin: last, Opcode: walve.OpText, Length: -1, Masked: !client})
					for i := 0; i < size; i += 1000 {
						writeN(t, w, payload[i:min(i+1000, size)])
						if got := p.near.Written(); i+1000 > 2*walve.PieceSize && got == 0 {
							t.Fatalf("nothing sent of %d bytes", i)
						}
					}
					before := p.near.Written()
					closeW(t, w)
					if p.near.Written() == before {
						t.Error("Close has sent nothing, not even the last fragment")
					}
					var got bytes.Buffer
					want := text
					for p.near.Unread() > 0 {
						h, sent, err := p.next()
						if err != nil {
							t.Fatal(err)
						}
						got.WriteString(sent)
						atEnd := p.near.Unread() == 0
						if firstByte(h)&^fin != want || h.Fin != (last && atEnd) || h.Length > int64(walve.PieceSize) {
							t.Errorf("frame %+v", h)
						}
						want = cont
					}
					if got.String() != payload {
						t.Errorf("%d bytes, want %d", got.Len(), size)
					}
				})
			}
		}
	})
}

// TestRule9NextWriterMessage: frames without Fin make one message, which no other
// data frame may enter, from any method.
func TestRule9NextWriterMessage(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client, HalfClose: true})
			go readToError(c, 10)
			intruders := func() {
				t.Helper()
				_, err := c.Write([]byte("x"))
				wantOpError(t, "Write", err, nil)
				_, err = c.ReadFrom(bytes.NewReader([]byte("x")))
				wantOpError(t, "ReadFrom", err, nil)
				wantOpError(t, "WriteMessage", c.WriteMessage(walve.OpText, []byte("x")), nil)
				for _, op := range []walve.Opcode{walve.OpText, walve.OpBinary} {
					_, err = c.NextWriter(walve.Header{Fin: true, Opcode: op})
					wantOpError(t, "NextWriter", err, nil)
				}
				wantOpError(t, "CloseWrite", c.CloseWrite(), nil)
				p.wantNothing()
				p.send(fin|ping, "between")
				p.want(fin|pong, "between")
			}
			for _, f := range []struct {
				h       walve.Header
				payload string
				b0      walve.Opcode
			}{
				{walve.Header{Opcode: walve.OpText, Length: 3}, "abc", text},
				{walve.Header{Opcode: walve.OpContinuation, Length: 0}, "", cont},
				{walve.Header{Opcode: walve.OpContinuation, Length: -1}, "def", cont},
				{walve.Header{Fin: true, Opcode: walve.OpContinuation, Length: -1}, "g", fin | cont},
			} {
				w := nextWriter(t, c, f.h)
				writeN(t, w, f.payload)
				closeW(t, w)
				p.want(f.b0, f.payload)
				if !f.h.Fin {
					intruders()
				}
			}
			_, err := c.NextWriter(walve.Header{Fin: true, Opcode: walve.OpContinuation})
			wantOpError(t, "continuation behind the last", err, nil)
			p.wantNothing()
			writeN(t, c, "next")
			p.want(fin|bin, "next")
			p.Close()
			c.Close()
		})
	})
}

// TestRule9NextWriterShort: closing before the end of a frame fails the connection,
// both ways, and the peer sees no clean end.
func TestRule9NextWriterShort(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, written := range []string{"", "a", "abcd"} {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client, HalfClose: true})
				read := readOn(c)
				w := nextWriter(t, c, walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 5})
				if written != "" {
					writeN(t, w, written)
				}
				wantOpError(t, "Close of the writer", w.Close(), nil)
				wantOpError(t, "Read", (<-read).err, nil)
				for range 2 {
					_, err := c.Read(make([]byte, 1))
					wantOpError(t, "Read", err, nil)
					_, err = c.Write([]byte("x"))
					wantOpError(t, "Write", err, nil)
					if isTimeout(err) || err == io.EOF {
						t.Errorf("Write: %v", err)
					}
				}
				if _, _, err := p.next(); err == nil || err == io.EOF {
					t.Errorf("the peer reads %v, want no clean end", err)
				}
				c.Close()
				_, err := c.NextWriter(walve.Header{Fin: true, Opcode: walve.OpBinary})
				wantOpError(t, "NextWriter after Close", err, nil)
			})
		}
	})
}

// others are the calls that wait while a writer is open.
var others = map[string]func(c *walve.Conn) (int, error){
	"Write": func(c *walve.Conn) (int, error) { return c.Write([]byte("x")) },
	"ReadFrom": func(c *walve.Conn) (int, error) {
		n, err := c.ReadFrom(bytes.NewReader([]byte("x")))
		return int(n), err
	},
	"WriteMessage": func(c *walve.Conn) (int, error) { return 1, c.WriteMessage(walve.OpBinary, []byte("x")) },
	"NextWriter": func(c *walve.Conn) (int, error) {
		w, err := c.NextWriter(walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 1})
		if err != nil {
			return 0, err
		}
		_, err = w.Write([]byte("x"))
		return 1, errors.Join(err, w.Close())
	},
}

// TestRule9NextWriterOthersWait: while a writer is open Write, WriteMessage and
// NextWriter wait for its Close.
func TestRule9NextWriterOthersWait(t *testing.T) {
	for name, call := range others {
		for _, length := range []int64{4, -1} {
			t.Run(fmt.Sprintf("%s/%d", name, length), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Client: true})
					w := nextWriter(t, c, walve.Header{Fin: true, Opcode: walve.OpText, Length: length})
					writeN(t, w, "ab")
					done := begin(func() (int, error) { return call(c) })
					time.Sleep(time.Hour)
					pending(t, name, done)
					writeN(t, w, "cd")
					time.Sleep(time.Hour)
					pending(t, name, done)
					closeW(t, w)
					if r := <-done; r.n != 1 || r.err != nil {
						t.Errorf("%s: %d, %v", name, r.n, r.err)
					}
					p.want(fin|text, "abcd")
					p.want(fin|bin, "x")
					p.Close()
					c.Close()
				})
			})
		}
	}
}

// TestRule9NextWriterOthersTimeOut: they wait up to the write deadline, also one set
// while they wait, and nothing of them is sent.
func TestRule9NextWriterOthersTimeOut(t *testing.T) {
	for name, call := range others {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/late %v", name, late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{})
					w := nextWriter(t, c, walve.Header{Fin: true, Opcode: walve.OpText, Length: 4})
					writeN(t, w, "ab")
					by := time.Now().Add(time.Minute)
					if !late {
						c.SetWriteDeadline(by)
					}
					done := begin(func() (int, error) { return call(c) })
					synctest.Wait()
					if late {
						c.SetWriteDeadline(by)
					}
					r := <-done
					checkTimeout(t, name, r.err)
					if !time.Now().Equal(by) {
						t.Errorf("timeout at %v, want %v", time.Now(), by)
					}
					c.SetWriteDeadline(time.Time{})
					writeN(t, w, "cd")
					closeW(t, w)
					p.want(fin|text, "abcd")
					if name == "ReadFrom" { // keeps the chunk in hand
						p.want(fin|bin, "x")
					}
					synctest.Wait()
					p.wantNothing()
					writeN(t, c, "next")
					p.want(fin|bin, "next")
					p.Close()
					c.Close()
				})
			})
		}
	}
}
