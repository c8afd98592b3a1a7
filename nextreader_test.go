package walve_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
)

// TestRule9NextReaderIsPerFrame: each data frame shows with its header,
// fragments as OpContinuation and empty ones too; control frames do not.
func TestRule9NextReaderIsPerFrame(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client})
			long := filler(40000)
			frames := []struct {
				b0      walve.Opcode
				payload string
			}{
				{fin | text, "whole"}, {fin | bin, ""}, {text, "h\xc3"}, {cont, "\xa9"}, {cont, ""}, {fin | cont, "!"}, {bin, ""}, {fin | cont, long},
			}
			for _, f := range frames {
				p.send(fin|pong, "between")
				p.send(f.b0, f.payload)
			}
			p.send(fin|cls, "")
			for _, f := range frames {
				h, r, err := c.NextReader()
				if err != nil {
					t.Fatal(err)
				}
				if h.Opcode|fin != f.b0|fin || h.Fin != (f.b0&fin != 0) || h.Length != int64(len(f.payload)) || h.Masked == client || h.RSV1 || h.RSV2 || h.RSV3 {
					t.Errorf("header %+v, want %#x, %d bytes", h, byte(f.b0), len(f.payload))
				}
				got, err := readToError(r, 1000)
				if string(got) != f.payload || err != io.EOF {
					t.Errorf("%.20q, %v; want %.20q", got, err, f.payload)
				}
				if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("behind the end: %d, %v", n, err)
				}
			}
			if _, _, err := c.NextReader(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
			p.Close()
			c.Close()
		})
	})
}

// A beginning is a way to begin to read a frame or message, n bytes of it.
type beginning struct {
	name  string
	frame bool // only its frame is current, for those who skip the rest of it
	begin func(t *testing.T, c *walve.Conn, n int)
}

var beginnings = []beginning{
	{"nobody", false, func(t *testing.T, c *walve.Conn, n int) {}},
	{"Read", false, func(t *testing.T, c *walve.Conn, n int) { readN(t, c, n) }},
	{"NextReader", true, func(t *testing.T, c *walve.Conn, n int) {
		_, r, err := c.NextReader()
		if err != nil {
			t.Fatal(err)
		}
		readN(t, r, n)
	}},
	{"NextMessage", false, func(t *testing.T, c *walve.Conn, n int) {
		_, r, err := c.NextMessage()
		if err != nil {
			t.Fatal(err)
		}
		readN(t, r, n)
	}},
	{"NextReader, then Read", false, func(t *testing.T, c *walve.Conn, n int) {
		if _, _, err := c.NextReader(); err != nil {
			t.Fatal(err)
		}
		readN(t, c, n)
	}},
}

func readN(t *testing.T, r io.Reader, n int) {
	t.Helper()
	if _, err := io.ReadFull(r, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
}

// TestRule9NextSkips: NextReader skips the rest of the current frame, NextMessage
// and ReadMessage that of the current message, whoever began it, and Read goes
// on inside it.
func TestRule9NextSkips(t *testing.T) {
	const first, second, third = "0123456789", "abcdefghij", "ABCDEFGHIJ"
	message := []any{bin, first, fin | ping, "", cont, second, cont, "", fin | cont, third, fin | text, "next", bin, "la", fin | cont, "st"}
	for _, b := range beginnings {
		for _, n := range []int{0, 1, 5, 10, 15, 20, 25, 30} {
			if b.name == "nobody" && n > 0 || b.name == "NextReader" && n > len(first) || b.name == "Read" && n == 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s of %d", b.name, n), func(t *testing.T) {
				bothRoles(t, func(t *testing.T, client bool) {
					try := func(what string, f func(c *walve.Conn) (string, error), want string) {
						synctest.Test(t, func(t *testing.T) {
							c, p := newWirePeer(t, walve.TestConfig{Client: client})
							defer c.Close()
							defer p.Close()
							p.write(sends(message...)(p.client))
							p.CloseWrite()
							b.begin(t, c, n)
							if got, err := f(c); got != want || err != nil {
								t.Errorf("%s: %q, %v; want %q", what, got, err, want)
							}
						})
					}
					all := first + second + third
					try("Read", func(c *walve.Conn) (string, error) {
						q := make([]byte, len(all)-n+len("nextlast"))
						_, err := io.ReadFull(c, q)
						return string(q), err
					}, all[n:]+"nextlast")

					// The frame that is current after n bytes was begun, or is it
					// over, the next one is due.
					frames := []string{first, second, "", third, "next"}
					next := frames[0]
					if b.name != "nobody" {
						next = frames[1]
						if n > len(first) {
							next = frames[2]
						}
						if n > len(first+second) {
							next = frames[4]
						}
					}
					try("NextReader", func(c *walve.Conn) (string, error) {
						_, r, err := c.NextReader()
						if err != nil {
							return "", err
						}
						got, err := io.ReadAll(r)
						return string(got), err
					}, next)

					whole := all
					if b.name != "nobody" {
						whole = "next"
					}
					try("NextMessage", func(c *walve.Conn) (string, error) {
						_, r, err := c.NextMessage()
						if err != nil {
							return "", err
						}
						got, err := io.ReadAll(r)
						return string(got), err
					}, whole)
					try("ReadMessage", func(c *walve.Conn) (string, error) {
						_, got, err := c.ReadMessage()
						return string(got), err
					}, whole)
				})
			})
		}
	}
}

// TestRule9NextBehindRead: a frame of which Read has seen no more than the header is
// the next one still, nothing of it is lost.
func TestRule9NextBehindRead(t *testing.T) {
	for _, first := range []walve.Opcode{fin | bin, bin} {
		op := fin | text
		if first == bin {
			op = fin | cont
		}
		for _, size := range []int{5, 100, 1000} {
			for i := range 6 {
				come, message := i/2, i%2 == 1 // how much of the second frame; what reads it
				synctest.Test(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Client: true})
					defer c.Close()
					defer p.Close()
					second := rawFrame(p.client, op, "abcd")
					p.write(append(rawFrame(p.client, first, "first"), second[:come]...))
					q := make([]byte, size)
					if n, err := c.Read(q); string(q[:n]) != "first" || err != nil {
						t.Fatalf("Read: %q, %v", q[:n], err)
					}
					p.write(second[come:])
					p.send(fin|bin, "third")
					if !message {
						h, r, err := c.NextReader()
						if err != nil {
							t.Fatal(err)
						}
						if got, err := io.ReadAll(r); string(got) != "abcd" || err != nil || firstByte(h) != op || h.Length != 4 {
							t.Errorf("NextReader behind Read(%d): %q, %v, %+v; want the second frame", size, got, err, h)
						}
						return
					}
					want := "abcd"
					if first == bin {
						want = "third" // the second frame is the rest of the first message
					}
					if _, got, err := c.ReadMessage(); string(got) != want || err != nil {
						t.Errorf("ReadMessage behind Read(%d): %q, %v; want %q", size, got, err, want)
					}
				})
			}
		}
	}
}

// TestRule9ReaderLeftBehind: a reader that another call has passed returns an error,
// never io.EOF, never a byte, and harms nothing.
func TestRule9ReaderLeftBehind(t *testing.T) {
	passes := map[string]func(c *walve.Conn) error{
		"Read":       func(c *walve.Conn) error { _, err := c.Read(make([]byte, 1)); return err },
		"Read a lot": func(c *walve.Conn) error { _, err := io.ReadFull(c, make([]byte, 300)); return err },
		"NextReader": func(c *walve.Conn) error { _, _, err := c.NextReader(); return err },
		"NextMessage": func(c *walve.Conn) error {
			_, r, err := c.NextMessage()
			if err == nil {
				_, err = r.Read(make([]byte, 1))
			}
			return err
		},
		"ReadMessage": func(c *walve.Conn) error { _, _, err := c.ReadMessage(); return err },
		"reading timed out": func(c *walve.Conn) error {
			defer c.SetReadDeadline(time.Time{})
			for {
				c.SetReadDeadline(time.Now().Add(time.Second))
				if _, _, err := c.NextReader(); errors.Is(err, os.ErrDeadlineExceeded) {
					return nil
				} else if err != nil {
					return err
				}
			}
		},
	}
	for _, b := range []string{"NextReader", "NextMessage"} {
		for name, pass := range passes {
			for _, read := range []int{0, 1, 300} {
				t.Run(fmt.Sprintf("%s/%d bytes/%s", b, read, name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						c, p := newWirePeer(t, walve.TestConfig{})
						defer c.Close()
						defer p.Close()
						for range 3 {
							p.send(fin|bin, strings.Repeat("x", 300))
						}
						var r io.Reader
						var err error
						if b == "NextReader" {
							_, r, err = c.NextReader()
						} else {
							_, r, err = c.NextMessage()
						}
						if err != nil {
							t.Fatal(err)
						}
						readN(t, r, read)
						if err := pass(c); err != nil {
							t.Fatal(err)
						}
						for _, size := range []int{1, 64 << 10} {
							n, err := r.Read(make([]byte, size))
							if n != 0 || err == io.EOF || errors.Is(err, io.EOF) {
								t.Errorf("reader left behind: %d, %v", n, err)
							}
							wantOpError(t, "reader left behind", err, nil)
							if isTimeout(err) {
								t.Errorf("a timeout: %v", err)
							}
						}
						p.send(fin|text, "fine")
						for {
							op, got, err := c.ReadMessage()
							if err != nil {
								t.Fatal(err)
							}
							if op == walve.OpText && string(got) == "fine" {
								return
							}
						}
					})
				})
			}
		}
	}
}

// TestRule9NextMessageEmpty: empty messages are messages, whatever their frames.
func TestRule9NextMessageEmpty(t *testing.T) {
	frames := sends(fin|text, "", bin, "", cont, "", fin|pong, "", fin|cont, "", text, "", fin|cont, "a", fin|cls, "")
	want := []string{"text:", "binary:", "text:a"}
	for _, m := range []struct {
		name string
		next func(c *walve.Conn) (walve.Opcode, []byte, error)
	}{
		{"ReadMessage", (*walve.Conn).ReadMessage},
		{"NextMessage", func(c *walve.Conn) (walve.Opcode, []byte, error) {
			op, r, err := c.NextMessage()
			if err != nil {
				return 0, nil, err
			}
			b, err := io.ReadAll(r)
			return op, b, err
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{})
			p.write(frames(p.client))
			for _, w := range want {
				op, b, err := m.next(c)
				if got := fmt.Sprintf("%v:%s", op, b); got != w || err != nil {
					t.Errorf("%s: %q, %v; want %q", m.name, got, err, w)
				}
			}
			if _, _, err := m.next(c); err != io.EOF {
				t.Errorf("%s at the end: %v", m.name, err)
			}
			p.Close()
			c.Close()
		})
	}
}

// TestRule9ReadMessageTakenOver: what a ReadMessage that timed out had goes to Read,
// to the next ReadMessage, or is skipped as the rest of the message is.
func TestRule9ReadMessageTakenOver(t *testing.T) {
	for _, tt := range []struct {
		name string
		next func(c *walve.Conn) (string, error)
		want string
	}{
		{"ReadMessage", func(c *walve.Conn) (string, error) { _, b, err := c.ReadMessage(); return string(b), err }, "begun and ended"},
		{"Read", func(c *walve.Conn) (string, error) { b, err := readToError(c, 3); return string(b), err }, "begun and endednext"},
		{"Read, then ReadMessage", func(c *walve.Conn) (string, error) {
			c.Read(make([]byte, 3))
			_, b, err := c.ReadMessage()
			return string(b), err
		}, "next"},
		{"NextMessage", func(c *walve.Conn) (string, error) {
			_, r, err := c.NextMessage()
			if err != nil {
				return "", err
			}
			b, err := io.ReadAll(r)
			return string(b), err
		}, "next"},
		{"NextReader", func(c *walve.Conn) (string, error) {
			_, r, err := c.NextReader()
			if err != nil {
				return "", err
			}
			b, err := io.ReadAll(r)
			return string(b), err
		}, " ended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: true})
				defer c.Close()
				defer p.Close()
				p.send(bin, "begun")
				frame := rawFrame(p.client, cont, " and")
				p.write(frame[:len(frame)-1])
				c.SetReadDeadline(time.Now().Add(time.Second))
				_, _, err := c.ReadMessage()
				checkTimeout(t, "ReadMessage", err)
				c.SetReadDeadline(time.Time{})
				p.write(frame[len(frame)-1:])
				p.send(fin|cont, " ended")
				p.send(fin|bin, "next")
				p.send(fin|cls, "")
				if got, err := tt.next(c); got != tt.want || err != nil && err != io.EOF {
					t.Errorf("%q, %v; want %q", got, err, tt.want)
				}
			})
		})
	}
}
