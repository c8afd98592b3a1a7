package walve_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bodokaiser/walve"
)

// A violation is what a peer may not send.
type violation struct {
	name string
	code walve.StatusCode
	wire func(client bool) []byte // client: the peer's role
}

// sends returns the frames, each the first byte and the payload.
func sends(frames ...any) func(client bool) []byte {
	return func(client bool) (b []byte) {
		for i := 0; i < len(frames); i += 2 {
			b = append(b, rawFrame(client, frames[i].(walve.Opcode), frames[i+1].(string))...)
		}
		return b
	}
}

func header(b0 walve.Opcode, length ...byte) func(client bool) []byte {
	return func(client bool) []byte { return rawHeader(client, b0, length...) }
}

func violations() []violation {
	const (
		protocol = walve.StatusProtocolError
		invalid  = walve.StatusInvalidFramePayloadData
	)
	masked := func(b0 walve.Opcode, payload string) func(client bool) []byte {
		return func(client bool) []byte { return rawFrame(!client, b0, payload) }
	}
	list := []violation{
		{"data with the mask of the other role", protocol, masked(fin|bin, "data")},
		{"empty data with the mask of the other role", protocol, masked(fin|bin, "")},
		{"Ping with the mask of the other role", protocol, masked(fin|ping, "")},
		{"Close with the mask of the other role", protocol, masked(fin|cls, "")},
		{"mask of the other role inside a message", protocol, func(client bool) []byte {
			return append(rawFrame(client, bin, "a"), rawFrame(!client, fin|cont, "b")...)
		}},

		{"stray continuation", protocol, sends(cont, "a")},
		{"stray last continuation", protocol, sends(fin|cont, "a")},
		{"stray empty continuation", protocol, sends(fin|cont, "")},
		{"continuation behind the last", protocol, sends(bin, "a", fin|cont, "b", fin|cont, "c")},
		{"text inside a message", protocol, sends(bin, "a", fin|text, "b")},
		{"binary inside a message", protocol, sends(text, "a", fin|bin, "b")},
		{"message begun anew", protocol, sends(bin, "a", bin, "b")},
		{"empty message inside a message", protocol, sends(bin, "", fin|bin, "")},
		{"message inside a message, behind a Pong", protocol, sends(text, "a", fin|pong, "", fin|text, "b")},

		{"fragmented Ping", protocol, sends(ping, "a")},
		{"fragmented Pong", protocol, sends(pong, "a")},
		{"fragmented Close", protocol, sends(cls, "")},
		{"Ping of 126 bytes", protocol, sends(fin|ping, strings.Repeat("a", 126))},
		{"Pong of 126 bytes", protocol, sends(fin|pong, strings.Repeat("a", 126))},
		{"Close of 126 bytes", protocol, sends(fin|cls, closePayload(1000, strings.Repeat("a", 124)))},
		{"Ping of 65536 bytes, by its header", protocol, header(fin|ping, 127, 0, 0, 0, 0, 0, 1, 0, 0)},

		{"length with the top bit", protocol, header(fin|bin, 127, 0x80, 0, 0, 0, 0, 1, 0, 0)},
		{"length of ones", protocol, header(fin|bin, 127, 255, 255, 255, 255, 255, 255, 255, 255)},
		{"0 in 16 bits", protocol, header(fin|bin, 126, 0, 0)},
		{"125 in 16 bits", protocol, header(fin|bin, 126, 0, 125)},
		{"1 in 64 bits", protocol, header(fin|bin, 127, 0, 0, 0, 0, 0, 0, 0, 1)},
		{"65535 in 64 bits", protocol, header(fin|bin, 127, 0, 0, 0, 0, 0, 0, 255, 255)},
		{"Ping with 16 bits of length", protocol, header(fin|ping, 126, 0, 5)},

		{"Close of one byte", protocol, sends(fin|cls, "\x03")},
		{"Close of 1002 with a reason that is not UTF-8", invalid, sends(fin|cls, closePayload(1002, "\xff"))},
		{"Close with a reason that ends inside a character", invalid, sends(fin|cls, closePayload(1000, "caf\xc3"))},
		{"Close with a surrogate", invalid, sends(fin|cls, closePayload(1000, "\xed\xa0\x80"))},
		{"bad Close inside a message", protocol, sends(bin, "a", fin|cls, closePayload(1005, ""))},

		{"text that ends inside a character", invalid, sends(fin|text, "caf\xc3")},
		{"text that ends inside a character in its last fragment", invalid, sends(text, "caf", fin|cont, "\xe2\x82")},
		{"text that ends inside a character by an empty fragment", invalid, sends(text, "caf\xc3", fin|cont, "")},
		{"text that breaks a character by a fragment", invalid, sends(text, "\xe2\x82", fin|cont, "a")},
	}
	for _, op := range []walve.Opcode{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		list = append(list,
			violation{fmt.Sprintf("opcode %d", byte(op)), protocol, sends(fin|op, "")},
			violation{fmt.Sprintf("opcode %d, fragmented", byte(op)), protocol, sends(op, "a")},
			violation{fmt.Sprintf("opcode %d inside a message", byte(op)), protocol, sends(bin, "a", fin|op, "")})
	}
	for _, rsv := range []walve.Opcode{0x40, 0x20, 0x10, 0x70} {
		for _, op := range []walve.Opcode{text, bin, ping, pong, cls} {
			list = append(list, violation{fmt.Sprintf("reserved bits %#x of opcode %d", byte(rsv), byte(op)), protocol, sends(fin|rsv|op, "")})
		}
		list = append(list, violation{fmt.Sprintf("reserved bits %#x of a continuation", byte(rsv)), protocol, sends(bin, "a", fin|rsv|cont, "b")})
	}
	return list
}

// TestRule10Violations: whatever reads, the peer is told by a
// Close frame with the right status and nothing behind it, and the error is a
// *ProtocolError, for good.
func TestRule10Violations(t *testing.T) {
	for _, v := range violations() {
		t.Run(v.name, func(t *testing.T) {
			bothRoles(t, func(t *testing.T, client bool) {
				for _, m := range readMethods {
					t.Run(m.name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							c, p := newWirePeer(t, walve.TestConfig{Client: client})
							p.send(fin|text, "first")
							p.write(v.wire(p.client))
							got, err := m.read(c)
							if !strings.HasPrefix(string(got), "first") {
								t.Errorf("read %q, want what came before", got)
							}
							wantFailed(t, c, p, err, v.code)
						})
					})
				}
			})
		})
	}
}

// wantFailed checks that c has failed with err, as rule 10 says, and closes it.
func wantFailed(t *testing.T, c *walve.Conn, p *wirePeer, err error, code walve.StatusCode) {
	t.Helper()
	wantProtocolError(t, "read", err, code)
	for _, m := range readMethods {
		_, again := m.read(c)
		if again == nil || again.Error() != err.Error() {
			t.Errorf("then %s: %v, want %v again", m.name, again, err)
		}
		wantProtocolError(t, m.name, again, code)
	}
	n, err := c.Write([]byte("late"))
	if n != 0 {
		t.Errorf("Write: %d bytes", n)
	}
	wantProtocolError(t, "Write", err, code)
	wantProtocolError(t, "WriteMessage", c.WriteMessage(walve.OpText, []byte("late")), code)
	if _, _, ok := c.CloseStatus(); ok {
		t.Error("CloseStatus: ok, but the peer has not closed")
	}
	p.wantClose(code)
	p.wantEnd()
	p.Close()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	_, err = c.Read(make([]byte, 1))
	wantOpError(t, "Read after Close", err, net.ErrClosed)
}

func wantProtocolError(t testing.TB, what string, err error, code walve.StatusCode) {
	t.Helper()
	wantOpError(t, what, err, nil)
	if pe := (*walve.ProtocolError)(nil); !errors.As(err, &pe) || pe.Code != code || pe.Reason == "" {
		t.Errorf("%s: %v, want a *ProtocolError of %v", what, err, code)
	}
}

// TestRule10TextFailsFast: text is refused at the very byte that makes it
// invalid, while the rest of its frame is still to come, and not before.
func TestRule10TextFailsFast(t *testing.T) {
	texts := []string{"\x80", "\xff", "\xc0", "\xc1", "\xf5", "ascii \xfe", "\xc3(", "\xe2\x28", "\xe0\x80", "\xe0\x9f",
		"\xed\xa0", "\xed\xbf", "\xf0\x80", "\xf0\x8f", "\xf4\x90", "\xe2\x82a", "\xf0\x9f\x98a", "κόσμε\xed\xa0", strings.Repeat("é", 2500) + "\xc0"}
	for i, s := range texts {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			bothRoles(t, func(t *testing.T, client bool) {
				for _, m := range readMethods {
					for _, fragmented := range []bool{false, true} {
						synctest.Test(t, func(t *testing.T) {
							c, p := newWirePeer(t, walve.TestConfig{Client: client})
							read := beginErr(func() error { _, err := m.read(c); return err })
							b := []byte(s)
							last := len(b) - 1
							first := longHeader(p.client, fin|text, 70000)
							if fragmented {
								first = append(rawFrame(p.client, text, s[:last]), longHeader(p.client, cont, 70000)...)
							} else {
								first = append(first, b[:last]...)
							}
							p.write(first)
							synctest.Wait()
							pending(t, m.name, read)
							p.write(b[last:])
							synctest.Wait()
							wantFailed(t, c, p, (<-read).err, walve.StatusInvalidFramePayloadData)
						})
					}
				}
			})
		})
	}
}

// TestRule10CloseCodes: which status a peer's Close frame may carry, and what
// becomes of it (RFC 6455, 7.4).
func TestRule10CloseCodes(t *testing.T) {
	accepted := func(code int) bool {
		return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
	}
	var codes []int
	for code := range 5100 {
		if code < 2 || code >= 990 && code <= 1030 || code%499 == 0 || code%1000 == 0 || code%1000 == 999 || code%1000 == 1 {
			codes = append(codes, code)
		}
	}
	codes = append(codes, 1<<14, 1<<15, math.MaxUint16)
	bothRoles(t, func(t *testing.T, client bool) {
		for _, code := range codes {
			for _, reason := range []string{"", "why", strings.Repeat("é", 61) + "!"} {
				synctest.Test(t, func(t *testing.T) {
					code := walve.StatusCode(code)
					c, p := newWirePeer(t, walve.TestConfig{Client: client})
					p.send(fin|cls, closePayload(code, reason))
					_, err := c.Read(make([]byte, 300))
					if !accepted(int(code)) {
						wantFailed(t, c, p, err, walve.StatusProtocolError)
						return
					}
					wantPeerClosed(t, c, err, code, reason)
					// RFC 6455, 5.5.1: the reply echoes the status.
					p.wantClose(code)
					p.Close()
					c.Close()
				})
			}
		}
	})
}

func wantPeerClosed(t *testing.T, c *walve.Conn, err error, code walve.StatusCode, reason string) {
	t.Helper()
	if code == walve.StatusNormalClosure || code == walve.StatusNoStatusReceived {
		if err != io.EOF {
			t.Errorf("Close frame of %v: %v, want io.EOF", code, err)
		}
	} else if ce := (*walve.CloseError)(nil); !errors.As(err, &ce) || ce.Code != code || ce.Reason != reason {
		t.Errorf("Close frame of %v: %v, want a *CloseError", code, err)
	} else {
		wantOpError(t, "Read", err, nil)
	}
	if gotCode, gotReason, ok := c.CloseStatus(); gotCode != code || gotReason != reason || !ok {
		t.Errorf("CloseStatus: %v %q %v, want %v %q", gotCode, gotReason, ok, code, reason)
	}
}

// TestRule10Accepts: what looks odd and is
// right, through every method.
func TestRule10Accepts(t *testing.T) {
	all := "a\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff\x00\ufeff"
	for _, tt := range []struct {
		name string
		wire func(client bool) []byte
		want string
	}{
		{"every length of a character", sends(fin|text, all), all},
		{"fragments inside characters", func(client bool) (b []byte) {
			b = rawFrame(client, text, "")
			for i := range len(all) {
				b = append(b, rawFrame(client, cont, all[i:i+1])...)
			}
			return append(b, rawFrame(client, fin|cont, "")...)
		}, all},
		{"binary that is not UTF-8", sends(fin|bin, "\xff\xc0\x80", bin, "\xff", fin|cont, "\xfe"), "\xff\xc0\x80\xff\xfe"},
		{"text, then binary that is not UTF-8", sends(text, "a", fin|cont, "b", fin|bin, "\xff"), "ab\xff"},
		{"empty messages", sends(fin|text, "", fin|bin, "", text, "", cont, "", fin|cont, "", fin|bin, "a"), "a"},
		{"control frames between fragments", sends(bin, "a", fin|ping, "", cont, "b", fin|pong, strings.Repeat("p", 125), fin|cont, "c"), "abc"},
		{"control frames of 125 bytes", sends(fin|ping, strings.Repeat("p", 125), fin|pong, strings.Repeat("q", 125), fin|bin, "a"), "a"},
		{"control frames of binary", sends(fin|ping, "\xff", fin|pong, "\xc0", fin|bin, "a"), "a"},
		{"lengths at the borders", sends(fin|bin, strings.Repeat("a", 125), fin|bin, strings.Repeat("b", 126), fin|text, strings.Repeat("c", 65535), fin|text, strings.Repeat("d", 65536)),
			strings.Repeat("a", 125) + strings.Repeat("b", 126) + strings.Repeat("c", 65535) + strings.Repeat("d", 65536)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothRoles(t, func(t *testing.T, client bool) {
				for _, m := range readMethods {
					synctest.Test(t, func(t *testing.T) {
						c, p := newWirePeer(t, walve.TestConfig{Client: client})
						go func() {
							p.write(append(tt.wire(p.client), rawFrame(p.client, fin|cls, "")...))
						}()
						got, err := m.read(c)
						if string(got) != tt.want || err != io.EOF {
							t.Errorf("%s: %.40q, %v; want %.40q", m.name, got, err, tt.want)
						}
						p.Close()
						c.Close()
					})
				}
			})
		})
	}
}

// TestRule10MessageTooBig: ReadMessage fails with 1009 as soon as a header
// takes a message over MaxMessageSize; nothing else is bounded by it.
func TestRule10MessageTooBig(t *testing.T) {
	const limit = 10
	for _, tt := range []struct {
		name string
		wire func(client bool) []byte
		want string
		big  bool
	}{
		{"exactly", sends(fin|bin, "0123456789", bin, "01234", cont, "", fin|cont, "56789"), "01234567890123456789", false},
		{"one byte over, by its header", header(fin|text, limit+1), "", true},
		{"2^63-1, by its header", header(fin|bin, 127, 127, 255, 255, 255, 255, 255, 255, 255), "", true},
		{"over in a fragment", func(client bool) []byte {
			return append(sends(fin|bin, "ok", bin, "01234", fin|ping, "p")(client), rawHeader(client, fin|cont, 6)...)
		}, "ok", true},
		{"2^63-1 behind a fragment", func(client bool) []byte {
			return append(rawFrame(client, bin, "0"), longHeader(client, cont, math.MaxInt64)...)
		}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothRoles(t, func(t *testing.T, client bool) {
				synctest.Test(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Client: client, MaxMessageSize: limit})
					p.write(tt.wire(p.client))
					if !tt.big {
						p.send(fin|cls, "")
					}
					got, err := readMessages(c)
					if string(got) != tt.want {
						t.Errorf("read %q, want %q", got, tt.want)
					}
					if strings.Contains(tt.name, "in a fragment") {
						p.want(fin|pong, "p")
					}
					if tt.big {
						wantFailed(t, c, p, err, walve.StatusMessageTooBig)
						return
					}
					wantPeerClosed(t, c, err, walve.StatusNoStatusReceived, "")
					p.Close()
					c.Close()
				})
			})
		})
	}
	big := strings.Repeat("x", 4*limit)
	for _, m := range readMethods[:len(readMethods)-1] {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{MaxMessageSize: limit})
			p.send(fin|text, big)
			p.send(fin|cls, "")
			if got, err := m.read(c); string(got) != big || err != io.EOF {
				t.Errorf("%s: %q, %v", m.name, got, err)
			}
			p.Close()
			c.Close()
		})
	}
}

// TestRule10ViolationAfterClose: a peer that breaks the protocol behind our
// Close frame gets no second one, and behind its own is not looked at.
func TestRule10ViolationAfterClose(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, halfClose := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client, HalfClose: halfClose})
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				p.wantClose(walve.StatusNormalClosure)
				p.send(fin|15, "")
				_, err := c.Read(make([]byte, 1))
				wantProtocolError(t, "Read", err, walve.StatusProtocolError)
				p.wantEnd()
				p.Close()
				c.Close()
			})
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client, HalfClose: halfClose})
				p.send(fin|cls, closePayload(1000, "bye"))
				p.send(fin|15, "behind")
				for range 2 {
					_, err := c.Read(make([]byte, 1))
					wantPeerClosed(t, c, err, walve.StatusNormalClosure, "bye")
				}
				want := walve.StatusNormalClosure
				if halfClose { // control frames go on, and are heard
					synctest.Wait()
					want = walve.StatusProtocolError
				}
				c.Close()
				p.wantClose(want)
				p.Close()
			})
		}
	})
}
