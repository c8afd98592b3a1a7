package walve_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/deflate"
	"github.com/bodokaiser/walve/internal/memconn"
)

const rsv1 walve.Opcode = 0x40

// jsonText returns n bytes that can be compressed well, but not to nothing.
func jsonText(n int) string {
	rnd := rand.New(rand.NewSource(int64(n)))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, `{"id":%d,"name":"entry %d","état":%v},`, rnd.Int31(), rnd.Intn(50), rnd.Intn(2) == 0)
	}
	return strings.ToValidUTF8(b.String()[:n], "")
}

// A deflatedScript is what a peer sends that compresses some of its messages.
type deflatedScript struct {
	wire  []byte
	units map[view][]unit // what each way of reading is to see
}

func newDeflatedScript(client bool, agreed walve.Deflate) *deflatedScript {
	d := deflate.NewDeflater(1, agreed.ReceiveBits, agreed.ReceiveTakeover)
	s := &deflatedScript{units: map[view][]unit{asStream: {{}}}}
	random := make([]byte, 700)
	rand.New(rand.NewSource(1)).Read(random)
	for _, m := range []struct {
		op        walve.Opcode
		text      string
		deflated  bool
		fragments []int // where its payload is cut, from the end if negative
	}{
		{bin, "", true, nil},
		{text, jsonText(300), true, nil},
		{text, jsonText(300), true, []int{0, 1, 2, 40}},
		{bin, "plain", false, []int{2}},
		{text, jsonText(2000), true, []int{100, 200, -1}},
		{bin, strings.Repeat("a bomb ", 1500), true, []int{10}},
		{bin, strings.Repeat("\x00", 3000), true, []int{5, -1}},
		{bin, string(random), true, []int{-1, 10000}}, // the last frame is empty
		{bin, "", true, []int{0}},
		{text, "as it is: \u20ac", false, nil},
		{text, jsonText(301), true, nil},
	} {
		payload := m.text
		b0 := m.op
		if m.deflated {
			payload = string(d.Append(nil, []byte(m.text), true))
			d.Commit([]byte(m.text), true)
			b0 |= rsv1
		}
		at := 0
		for i, cut := range append(m.fragments, len(payload)) {
			if cut < 0 {
				cut += len(payload)
			}
			cut = min(max(cut, at), len(payload))
			if i == len(m.fragments) {
				b0 |= fin
			}
			s.wire = append(s.wire, rawFrame(client, b0, payload[at:cut])...)
			s.wire = append(s.wire, rawFrame(client, fin|ping, fmt.Sprint(len(s.wire)))...)
			if !m.deflated {
				f := unit{op: b0 &^ fin, fin: b0&fin != 0, length: int64(cut - at), payload: []byte(payload[at:cut]), ended: true}
				s.units[asFrames] = append(s.units[asFrames], f)
			}
			at = cut
			b0 = cont
		}
		whole := unit{op: m.op, payload: []byte(m.text), ended: true}
		s.units[asMessages] = append(s.units[asMessages], whole)
		s.units[asWhole] = append(s.units[asWhole], whole)
		if m.deflated {
			whole.fin, whole.length = true, -1
			s.units[asFrames] = append(s.units[asFrames], whole)
		}
		s.units[asStream][0].payload = append(s.units[asStream][0].payload, m.text...)
	}
	s.wire = append(s.wire, rawFrame(client, fin|cls, closePayload(1000, ""))...)
	return s
}

// everyAgreement are the agreements worth a run of their own.
var everyAgreement = []walve.Deflate{
	{SendBits: 15, ReceiveBits: 15, SendTakeover: true, ReceiveTakeover: true},
	{SendBits: 15, ReceiveBits: 15},
	{SendBits: 9, ReceiveBits: 8, SendTakeover: true, ReceiveTakeover: true},
}

// TestDeflateReadDeadlineAfterEveryByte: rule 2 holds for compressed messages,
// whoever reads them.
func TestDeflateReadDeadlineAfterEveryByte(t *testing.T) {
	for _, w := range ways {
		for _, client := range []bool{false, true} {
			for _, agreed := range everyAgreement {
				t.Run(fmt.Sprintf("%s/client=%v/%+v", w.name, client, agreed), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						s := newDeflatedScript(!client, agreed)
						c, own, peer := memConn(walve.TestConfig{Client: client, Deflate: &agreed})
						r := w.start(c)
						for i := range s.wire {
							peer.Write(s.wire[i : i+1])
							if i+1 == len(s.wire) || raceEnabled && i%5 != 0 {
								continue
							}
							c.SetReadDeadline(past)
							checkTimeout(t, "read with a past deadline", r.step())
							c.SetReadDeadline(soon())
							checkTimeout(t, "read", r.drain())
						}
						c.SetReadDeadline(time.Time{})
						if err := r.drain(); err != io.EOF {
							t.Fatalf("at the end: %v", err)
						}
						if d := diffUnits(r.units, s.units[w.view]); d != "" {
							t.Fatal(d)
						}
						synctest.Wait()
						take(t, own, peer)
						closeBoth(t, c, peer)
					})
				})
			}
		}
	}
}

// TestDeflateReadAtOnce has it come all at once.
func TestDeflateReadAtOnce(t *testing.T) {
	for _, w := range ways {
		for _, client := range []bool{false, true} {
			for _, agreed := range everyAgreement {
				bubble(t, func(t *testing.T) {
					s := newDeflatedScript(!client, agreed)
					c, own, peer := memConn(walve.TestConfig{Client: client, Deflate: &agreed})
					peer.Write(s.wire)
					r := w.start(c)
					if err := r.drain(); err != io.EOF {
						t.Fatalf("%s: at the end: %v", w.name, err)
					}
					if d := diffUnits(r.units, s.units[w.view]); d != "" {
						t.Fatalf("%s: %s", w.name, d)
					}
					synctest.Wait()
					take(t, own, peer)
					closeBoth(t, c, peer)
				})
			}
		}
	}
}

// TestDeflateSkip goes through the messages in a mixture of ways, which leave
// behind what they like.
func TestDeflateSkip(t *testing.T) {
	agreed := everyAgreement[0]
	for seed := range int64(200) {
		bubble(t, func(t *testing.T) {
			s := newDeflatedScript(true, agreed)
			c, own, peer := memConn(walve.TestConfig{Deflate: &agreed})
			peer.Write(s.wire)
			rnd := rand.New(rand.NewSource(seed))
			whole := s.units[asWhole]
			all := string(s.units[asStream][0].payload)
			for err := error(nil); err != io.EOF; {
				var got []byte
				switch rnd.Intn(4) {
				case 0:
					_, got, err = c.ReadMessage()
					known := err != nil
					for _, u := range whole {
						known = known || bytes.Equal(got, u.payload)
					}
					if !known {
						t.Fatalf("seed %d: ReadMessage: %.60q is no message", seed, got)
					}
				case 1:
					var h walve.Header
					var r io.Reader
					if h, r, err = c.NextReader(); err == nil && rnd.Intn(2) == 0 {
						got = make([]byte, rnd.Intn(500)+1)
						n, _ := r.Read(got)
						got = got[:n]
					}
					if h.RSV1 {
						t.Fatal("RSV1 shows")
					}
				case 2:
					var r io.Reader
					if _, r, err = c.NextMessage(); err == nil && rnd.Intn(2) == 0 {
						got = make([]byte, rnd.Intn(500)+1)
						n, _ := r.Read(got)
						got = got[:n]
					}
				case 3:
					var n int
					got = make([]byte, rnd.Intn(500)+1)
					n, err = c.Read(got)
					got = got[:n]
				}
				if !strings.Contains(all, string(got)) {
					t.Fatalf("seed %d: %.60q was not sent", seed, got)
				}
				if err != nil && err != io.EOF {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			synctest.Wait()
			take(t, own, peer)
			closeBoth(t, c, peer)
		})
	}
}

// A deflatedMessage is a message as a peer has got it.
type deflatedMessage struct {
	op       walve.Opcode
	deflated bool
	frames   int
	text     string
}

// inflateWire takes apart what a Conn has written, up to the Close frame or the
// end, and holds it against RFC 7692, 6.1.
func inflateWire(t testing.TB, wire []byte, agreed walve.Deflate) []deflatedMessage {
	t.Helper()
	z := deflate.NewInflater(agreed.SendBits, agreed.SendTakeover)
	fr := walve.NewFrameReader(bytes.NewReader(wire))
	var messages []deflatedMessage
	var payload []byte
	for {
		h, err := fr.Next()
		if err == io.EOF {
			if payload != nil {
				t.Fatal("the wire ends inside a message")
			}
			return messages
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := io.ReadAll(fr)
		if err != nil {
			t.Fatal(err)
		}
		if h.RSV1 && h.Opcode != text && h.Opcode != bin {
			t.Fatalf("RSV1 in %+v", h)
		}
		if h.Opcode.IsControl() {
			continue
		}
		if h.Opcode != cont {
			messages = append(messages, deflatedMessage{op: h.Opcode, deflated: h.RSV1})
			payload = []byte{}
		}
		m := &messages[len(messages)-1]
		m.frames++
		payload = append(payload, p...)
		if !h.Fin {
			continue
		}
		if m.deflated {
			dst := make([]byte, 1<<20)
			n, _, done, err := z.Inflate(dst, payload, true)
			if err != nil || !done {
				t.Fatalf("message %d: %v", len(messages), err)
			}
			payload = dst[:n]
		}
		m.text = string(payload)
		payload = nil
	}
}

// deflatedWriters are the ways to write a message.
var deflatedWriters = []struct {
	name  string
	write func(c *walve.Conn, p []byte) error
}{
	{"Write", func(c *walve.Conn, p []byte) error { _, err := c.Write(p); return err }},
	{"WriteMessage", func(c *walve.Conn, p []byte) error { return c.WriteMessage(bin, p) }},
	{"NextWriter", func(c *walve.Conn, p []byte) error {
		return writeNext(c, walve.Header{Fin: true, Opcode: bin, Length: -1}, p)
	}},
	{"NextWriter length", func(c *walve.Conn, p []byte) error {
		return writeNext(c, walve.Header{Fin: true, Opcode: bin, Length: int64(len(p))}, p)
	}},
	{"NextWriter fragments", func(c *walve.Conn, p []byte) error {
		third := len(p) / 3
		for _, f := range []struct {
			h walve.Header
			p []byte
		}{
			{walve.Header{Opcode: bin, Length: -1}, p[:third]},
			{walve.Header{Opcode: cont, Length: int64(third)}, p[third : 2*third]},
			{walve.Header{Opcode: cont, Length: -1, Fin: true}, p[2*third:]},
		} {
			if err := writeNext(c, f.h, f.p); err != nil {
				return err
			}
		}
		return nil
	}},
	{"ReadFrom", func(c *walve.Conn, p []byte) error {
		_, err := c.ReadFrom(bytes.NewReader(p))
		return err
	}},
}

func writeNext(c *walve.Conn, h walve.Header, p []byte) error {
	w, err := c.NextWriter(h)
	if err != nil {
		return err
	}
	for len(p) > 0 {
		n := min(len(p), 10000)
		if _, err := w.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return w.Close()
}

func TestDeflateWriters(t *testing.T) {
	random := make([]byte, 70000)
	rand.New(rand.NewSource(1)).Read(random)
	for _, w := range deflatedWriters {
		for _, client := range []bool{false, true} {
			for _, agreed := range everyAgreement {
				for _, threshold := range []int{0, 256, 100000} {
					agreed.Threshold = threshold
					t.Run(fmt.Sprintf("%s/client=%v/%+v", w.name, client, agreed), func(t *testing.T) {
						bubble(t, func(t *testing.T) {
							c, own, peer := memConn(walve.TestConfig{Client: client, Deflate: &agreed})
							var sent string
							for _, text := range []string{"", "a", jsonText(255), jsonText(256), jsonText(300), string(random[:1000]), jsonText(200000), string(random), strings.Repeat("x", 65490), jsonText(300)} {
								if err := w.write(c, []byte(text)); err != nil {
									t.Fatal(err)
								}
								sent += text
							}
							synctest.Wait()
							var got string
							for _, m := range inflateWire(t, take(t, own, peer), agreed) {
								got += m.text
								if m.deflated && len(m.text) < min(threshold, 65490) && w.name != "ReadFrom" && w.name != "NextWriter fragments" {
									t.Errorf("a message of %d bytes is compressed", len(m.text))
								}
								if !m.deflated && len(m.text) >= threshold && strings.HasPrefix(m.text, "{") && w.name != "ReadFrom" {
									t.Errorf("a message of %d bytes is not compressed", len(m.text))
								}
							}
							if got != sent {
								t.Fatalf("%d bytes sent, %d received or different", len(sent), len(got))
							}
							closeBoth(t, c, peer)
						})
					})
				}
			}
		}
	}
}

// TestDeflateWriteDeadline cuts a Write at every byte of the wire. What n
// counts is what the peer gets, and going on with p[n:] gives it everything
// once.
func TestDeflateWriteDeadline(t *testing.T) {
	for _, client := range []bool{false, true} {
		for _, agreed := range everyAgreement[:2] {
			for _, size := range []int{700, 140000} {
				p := []byte(jsonText(size))
				before := []byte(jsonText(600))
				for limit, more := int64(0), true; more; limit++ {
					if size > 1000 {
						limit += 997
					}
					bubble(t, func(t *testing.T) {
						c, own, peer := memConn(walve.TestConfig{Client: client, Deflate: &agreed})
						if _, err := c.Write(before); err != nil {
							t.Fatal(err)
						}
						own.SetWriteLimit(limit)
						c.SetWriteDeadline(soon())
						n, err := c.Write(p)
						if more = err != nil; more {
							checkTimeout(t, "Write", err)
						}
						own.SetWriteLimit(-1)
						c.SetWriteDeadline(time.Time{})
						if n < len(p) {
							if _, err := c.Write(p[n:]); err != nil {
								t.Fatal(err)
							}
						}
						if _, err := c.Write(before); err != nil {
							t.Fatal(err)
						}
						synctest.Wait()
						messages := inflateWire(t, take(t, own, peer), agreed)
						if len(messages) != 3 || messages[0].text != string(before) || messages[1].text != string(p) || messages[2].text != string(before) {
							t.Fatalf("limit %d, n %d: %d messages, or others", limit, n, len(messages))
						}
						closeBoth(t, c, peer)
					})
				}
			}
		}
	}
}

// TestDeflateCutMessage: a compressed message that a deadline has cut is ended
// by one that can be inflated.
func TestDeflateCutMessage(t *testing.T) {
	for i, end := range []func(c *walve.Conn) error{
		func(c *walve.Conn) error { return c.WriteMessage(text, []byte(jsonText(300))) },
		func(c *walve.Conn) error { return c.CloseWrite() },
	} {
		bubble(t, func(t *testing.T) {
			agreed := everyAgreement[0]
			c, own, peer := memConn(walve.TestConfig{Deflate: &agreed})
			own.SetWriteLimit(20)
			c.SetWriteDeadline(soon())
			p := []byte(jsonText(140000))
			n, err := c.Write(p)
			checkTimeout(t, "Write", err)
			if n == 0 || n == len(p) {
				t.Fatal(n)
			}
			own.SetWriteLimit(-1)
			c.SetWriteDeadline(time.Time{})
			if err := end(c); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			messages := inflateWire(t, take(t, own, peer), agreed)
			if messages[0].text != string(p[:n]) || messages[0].frames != 2 {
				t.Fatalf("%d: %+v", i, messages[0].frames)
			}
			closeBoth(t, c, peer)
		})
	}
}

func TestDeflateProtocol(t *testing.T) {
	packed := func(s string) string { return string(deflate.NewDeflater(1, 15, false).Append(nil, []byte(s), true)) }
	agreed := &walve.Deflate{SendBits: 15, ReceiveBits: 15, ReceiveTakeover: true}
	bothRoles(t, func(t *testing.T, client bool) {
		for _, tt := range []struct {
			name   string
			agreed *walve.Deflate
			frames []testRaw
			code   walve.StatusCode
		}{
			{"not negotiated", nil, []testRaw{{fin | rsv1 | text, packed("hello")}}, 1002},
			{"RSV2", agreed, []testRaw{{fin | 0x20 | text, "hello"}}, 1002},
			{"RSV3", agreed, []testRaw{{fin | rsv1 | 0x10 | text, packed("hello")}}, 1002},
			{"in a Ping", agreed, []testRaw{{fin | rsv1 | ping, ""}}, 1002},
			{"in a Close frame", agreed, []testRaw{{fin | rsv1 | cls, ""}}, 1002},
			{"in a continuation", agreed, []testRaw{{rsv1 | text, packed("hello")[:3]}, {fin | rsv1 | cont, packed("hello")[3:]}}, 1002},
			{"in a continuation of a plain message", agreed, []testRaw{{text, "hel"}, {fin | rsv1 | cont, "lo"}}, 1002},
			{"corrupt", agreed, []testRaw{{fin | rsv1 | text, "hello"}}, 1007},
			{"no payload", agreed, []testRaw{{fin | rsv1 | text, ""}}, 1007},
			{"ends too early", agreed, []testRaw{{fin | rsv1 | text, packed("hello")[:3]}}, 1007},
			{"ends too early, last frame empty", agreed, []testRaw{{rsv1 | text, packed("hello")[:3]}, {fin | cont, ""}}, 1007},
			{"distance too far", agreed, []testRaw{{fin | rsv1 | text, "\xf2\x00\x11\x00\x00"}}, 1007},
			{"not UTF-8", agreed, []testRaw{{fin | rsv1 | text, packed("h\xff")}}, 1007},
			{"ends inside a character", agreed, []testRaw{{fin | rsv1 | text, packed("h\xc3")}}, 1007},
			{"too big", agreed, []testRaw{{fin | rsv1 | bin, packed(strings.Repeat("a", 1001))}}, 1009},
		} {
			t.Run(tt.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Client: client, Deflate: tt.agreed, MaxMessageSize: 1000})
					for _, f := range tt.frames {
						p.send(f.b0, f.payload)
					}
					_, _, err := c.ReadMessage()
					var pe *walve.ProtocolError
					if !errors.As(err, &pe) || pe.Code != tt.code {
						t.Errorf("ReadMessage: %v, want %v", err, tt.code)
					}
					p.wantClose(tt.code)
					c.Close()
					p.Close()
				})
			})
		}
	})
}

type testRaw struct {
	b0      walve.Opcode
	payload string
}

// TestDeflateMaxMessageSize: a message of exactly so many bytes is read.
func TestDeflateMaxMessageSize(t *testing.T) {
	for _, size := range []int{1, 63, 64, 65, 1000, 4096, 70000} {
		bubble(t, func(t *testing.T) {
			agreed := everyAgreement[0]
			c, own, peer := memConn(walve.TestConfig{Deflate: &agreed, MaxMessageSize: int64(size)})
			d := deflate.NewDeflater(1, 15, false)
			p := bytes.Repeat([]byte("a"), size)
			for range 2 {
				payload := d.Append(nil, p[:min(size, 60000)], size <= 60000)
				if d.Commit(p[:min(size, 60000)], size <= 60000); size > 60000 {
					payload = d.Append(payload, p[60000:], true)
					d.Commit(p[60000:], true)
				}
				peer.Write(rawFrame(true, fin|rsv1|bin, string(payload)))
				if _, got, err := c.ReadMessage(); err != nil || !bytes.Equal(got, p) {
					t.Fatalf("%d bytes of %d: %v", len(got), size, err)
				}
			}
			take(t, own, peer)
			closeBoth(t, c, peer)
		})
	}
}

// TestDeflateNegotiated: two walve ends agree on it, and everything arrives.
func TestDeflateNegotiated(t *testing.T) {
	for _, tt := range []struct{ client, server *walve.Compression }{
		{nil, nil}, {&walve.Compression{}, nil}, {nil, &walve.Compression{}},
		{&walve.Compression{}, &walve.Compression{}},
		{&walve.Compression{NoSendTakeover: true, Level: 9}, &walve.Compression{Threshold: -1}},
		{&walve.Compression{NoReceiveTakeover: true}, &walve.Compression{NoReceiveTakeover: true}},
	} {
		inner := newMemListener()
		ln := walve.NewListener(inner)
		ln.Upgrader.Compression = tt.server
		near, far := memconn.Pipe()
		inner.conns <- far
		client, err := (&walve.Dialer{Compression: tt.client}).Handshake(t.Context(), near, "ws://in.memory/")
		if err != nil {
			t.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		header := client.Response().Header.Get("Sec-WebSocket-Extensions")
		if got, want := strings.Contains(header, "permessage-deflate"), tt.client != nil && tt.server != nil; got != want {
			t.Errorf("Sec-WebSocket-Extensions: %q", header)
		}
		for _, pair := range [][2]*walve.Conn{{client, server.(*walve.Conn)}, {server.(*walve.Conn), client}} {
			for _, size := range []int{10, 5000, 5000, 200000} {
				want := jsonText(size)
				wait := background(func() error { return pair[0].WriteMessage(text, []byte(want)) })
				op, got, err := pair[1].ReadMessage()
				if op != text || string(got) != want || err != nil {
					t.Fatalf("%v, %d bytes, %v", op, len(got), err)
				}
				if err := wait(); err != nil {
					t.Fatal(err)
				}
			}
		}
		client.Close()
		server.Close()
		ln.Close()
	}
}

// TestDeflateMemory: what a Conn holds after messages in both directions.
func TestDeflateMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops what is pooled")
	}
	measure := func(agreed *walve.Deflate, count, size int) int {
		const conns = 50
		heap := func() int {
			var m runtime.MemStats
			for range 3 {
				runtime.GC()
			}
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc)
		}
		var keep []any
		before := heap()
		for range conns {
			c, own, peer := memConn(walve.TestConfig{Deflate: agreed})
			d := deflate.NewDeflater(1, 15, agreed != nil && agreed.ReceiveTakeover)
			for range count {
				p := []byte(jsonText(size))
				if agreed != nil {
					peer.Write(rawFrame(true, fin|rsv1|text, string(d.Append(nil, p, true))))
					d.Commit(p, true)
				} else {
					peer.Write(rawFrame(true, fin|text, string(p)))
				}
				if _, _, err := c.ReadMessage(); err != nil {
					t.Fatal(err)
				}
				if err := c.WriteMessage(text, p); err != nil {
					t.Fatal(err)
				}
				take(t, own, peer)
			}
			keep = append(keep, c)
		}
		after := heap()
		runtime.KeepAlive(keep)
		return (after - before) / conns
	}
	plain := measure(nil, 1, 1000)
	none := measure(&walve.Deflate{SendBits: 15, ReceiveBits: 15}, 1, 1000)
	both := measure(&everyAgreement[0], 1, 1000)
	many := measure(&everyAgreement[0], 200, 1000)
	t.Logf("plain %d, no takeover +%d, takeover +%d, after 200 messages +%d", plain, none-plain, both-plain, many-plain)
	if none-plain > 1<<10 || both > 48<<10 || many > 48<<10+plain {
		t.Error("too much")
	}
}

// TestInflateNoLimit: the largest MaxMessageSize there is is none.
func TestInflateNoLimit(t *testing.T) {
	d := &walve.Deflate{SendBits: 15, ReceiveBits: 15}
	a, b := memconn.Pipe()
	client := walve.NewTestConn(a, walve.TestConfig{Client: true, Deflate: d})
	server := walve.NewTestConn(b, walve.TestConfig{Deflate: d, MaxMessageSize: math.MaxInt64})
	want := strings.Repeat("hello ", 100)
	go client.WriteMessage(walve.OpText, []byte(want))
	if _, p, err := server.ReadMessage(); string(p) != want || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	a.Close()
	b.Close()
}

// TestDeflateIncompressible: a message of several pieces, each longer when it is
// compressed, at the levels that make it the longest.
func TestDeflateIncompressible(t *testing.T) {
	want := make([]byte, 300_000)
	rand.New(rand.NewSource(0)).Read(want)
	for level := 1; level <= 9; level++ {
		d := &walve.Deflate{SendBits: 15, ReceiveBits: 15, Level: level}
		a, b := memconn.Pipe()
		client := walve.NewTestConn(a, walve.TestConfig{Client: true, Deflate: d})
		server := walve.NewTestConn(b, walve.TestConfig{Deflate: d})
		go client.WriteMessage(walve.OpBinary, want)
		if _, p, err := server.ReadMessage(); !bytes.Equal(p, want) || err != nil {
			t.Errorf("level %d: %d bytes, %v", level, len(p), err)
		}
		a.Close()
		b.Close()
	}
}

// TestDeflateEmptyRead: a net.Conn may return 0, nil also where WriteTo looks for
// a buffer.
func TestDeflateEmptyRead(t *testing.T) {
	d := &walve.Deflate{SendBits: 15, ReceiveBits: 15}
	a, b := memconn.Pipe()
	client := walve.NewTestConn(a, walve.TestConfig{Client: true, Deflate: d})
	below := &emptyReads{Conn: b}
	server := walve.NewTestConn(below, walve.TestConfig{Deflate: d})
	want := jsonText(9000)
	go func() {
		client.WriteMessage(walve.OpText, []byte(want))
		client.Close()
	}()
	below.n = 1
	var got strings.Builder
	if _, err := server.WriteTo(&got); got.String() != want || err != nil {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	server.Close()
}
