package walve_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// memConn returns a Conn on one end of a pipe that holds everything a test
// writes, and the two ends: the Conn's and the peer's.
func memConn(cfg walve.TestConfig, opts ...memconn.Option) (c *walve.Conn, own, peer *memconn.Conn) {
	own, peer = memconn.Pipe(append([]memconn.Option{memconn.Buffer(4 << 20)}, opts...)...)
	return walve.NewTestConn(own, cfg), own, peer
}

// closeBoth closes c and its peer, so that nothing is left in the background.
func closeBoth(t testing.TB, c *walve.Conn, peer io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	peer.Close()
}

// readCut has s come in piece by piece, cut at stops; in between a deadline
// interrupts the reader, who must by then have got what there was.
func readCut(t *testing.T, cfg walve.TestConfig, w way, s *script, compare bool, stops ...int) {
	t.Helper()
	c, own, peer := memConn(cfg)
	readCutFrom(t, c, cfg.Client, peer, func() []byte { return take(t, own, peer) }, w, s, compare, stops...)
}

// readCutFrom is readCut of c, whose peer is given and takes by take what c has
// sent.
func readCutFrom(t *testing.T, c *walve.Conn, client bool, peer io.WriteCloser, take func() []byte, w way, s *script, compare bool, stops ...int) {
	t.Helper()
	r := w.start(c)
	at := 0
	for _, stop := range append(stops, len(s.wire)) {
		peer.Write(s.wire[at:stop])
		at = stop
		c.SetReadDeadline(past)
		checkTimeout(t, "read with a past deadline", r.step())
		c.SetReadDeadline(soon())
		err := r.drain()
		if at < len(s.wire) {
			checkTimeout(t, "read", err)
		} else if err != io.EOF {
			t.Fatalf("at the end: got %v, want io.EOF", err)
		}
		if compare || at == len(s.wire) {
			if d := diffUnits(r.units, s.seen(w.view, at)); d != "" {
				t.Fatalf("stops %v, after %d bytes: %s", stops[:min(len(stops), 5)], at, d)
			}
		}
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := r.step(); err != io.EOF {
		t.Fatalf("after the end: got %v, want io.EOF", err)
	}
	synctest.Wait() // the Pongs are on their way without another call
	answers := take()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	checkFrames(t, "answers", decode(t, append(answers, take()...), client), s.answers()...)
	peer.Close()
}

// TestRule2ReadDeadlineAfterEveryByte has the exchange come in byte by byte
// with a timeout after each.
func TestRule2ReadDeadlineAfterEveryByte(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg walve.TestConfig, w way) {
		s := exchange(!cfg.Client, true)
		readCut(t, cfg, w, s, false, s.stops()...)
	})
}

// stops returns every position between two bytes of the wire. Under the race
// detector, which makes it six times as long, the inside of a large payload is
// passed in larger steps.
func (s *script) stops() []int {
	const dense, step = 64, 61
	var stops []int
	frame := 0
	for i := 1; i < len(s.wire); i++ {
		if i >= s.ends[frame] {
			frame++
		}
		if inside := i > s.heads[frame]+dense && i < s.ends[frame]-dense; !raceEnabled || !inside || i%step == 0 {
			stops = append(stops, i)
		}
	}
	return stops
}

// TestRule2ReadDeadlineAtEveryByte has the exchange come in in two pieces, cut
// at every byte in turn, and compares what has been read at the cut as well.
func TestRule2ReadDeadlineAtEveryByte(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg walve.TestConfig, w way) {
		s := exchange(!cfg.Client, false)
		for i := 1; i < len(s.wire); i++ {
			if !sampled(i) {
				readCut(t, cfg, w, s, true, i)
			}
		}
	})
}

// TestRule2PastReadDeadlineInterrupts sets a deadline in the past while a read
// is blocked, in a payload and in a header, and another Read waits for its turn.
func TestRule2PastReadDeadlineInterrupts(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg walve.TestConfig, w way) {
		s := exchange(!cfg.Client, false)
		for _, n := range []int{0, s.heads[1] - 1, s.heads[12] + 5, s.heads[13] - 1} {
			c, _, peer := memConn(cfg)
			start := time.Now()
			peer.Write(s.wire[:n])
			r := w.start(c)
			first := background(r.drain)
			synctest.Wait()
			var second func() error
			if w.view == asStream { // the others would be left behind by it
				second = background(func() error { _, err := c.Read(make([]byte, 1)); return err })
				synctest.Wait()
			}
			c.SetReadDeadline(past)
			checkTimeout(t, "blocked read", first())
			if second != nil {
				checkTimeout(t, "waiting read", second())
			}
			c.SetReadDeadline(time.Now().Add(time.Hour))
			last := background(r.drain)
			peer.Write(s.wire[n:])
			if err := last(); err != io.EOF {
				t.Fatalf("going on: got %v, want io.EOF", err)
			}
			if d := diffUnits(r.units, s.seen(w.view, len(s.wire))); d != "" {
				t.Fatalf("interrupted after %d bytes: %s", n, d)
			}
			if d := time.Since(start); d != 0 {
				t.Fatalf("took %v", d)
			}
			closeBoth(t, c, peer)
		}
	})
}

// TestRule2ReadDeadlineGovernsTheWait has a Read wait for its turn until its
// deadline, which is brought forward meanwhile.
func TestRule2ReadDeadlineGovernsTheWait(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		c, _, peer := memConn(cfg)
		start := time.Now()
		read := func() error { _, err := c.Read(make([]byte, 1)); return err }
		c.SetReadDeadline(start.Add(time.Hour))
		waits := []func() error{background(read), background(read), background(read)}
		synctest.Wait()
		c.SetReadDeadline(start.Add(time.Second))
		for _, wait := range waits {
			checkTimeout(t, "read", wait())
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("timed out after %v, want 1s", d)
		}
		closeBoth(t, c, peer)
	})
}

// TestRule1ReadReturnsWhatIsThere reads a stream whose frames come in one by
// one: each payload at once, empty frames and control frames never.
func TestRule1ReadReturnsWhatIsThere(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg walve.TestConfig, w way) {
		if w.view != asStream {
			return
		}
		s := exchange(!cfg.Client, true)
		c, _, peer := memConn(cfg)
		c.SetReadDeadline(time.Now().Add(time.Hour))
		buf := make([]byte, w.size)
		for i, f := range s.frames[:len(s.frames)-1] {
			peer.Write(s.frame(i))
			for left := f.payload; !f.op.IsControl() && left != ""; {
				n, err := c.Read(buf)
				if n == 0 || err != nil || string(buf[:n]) != left[:n] {
					t.Fatalf("frame %d, byte %d: got %d, %v", i, len(f.payload)-len(left), n, err)
				}
				left = left[n:]
			}
		}
		closeBoth(t, c, peer)
	})
}

// TestRule1ReadGoesOnAcrossFrames has everything there already: one Read takes
// the payloads of all frames that it has room for.
func TestRule1ReadGoesOnAcrossFrames(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		s := exchange(!cfg.Client, false)
		c, _, peer := memConn(cfg)
		peer.Write(s.wire)
		want := s.seen(asStream, len(s.wire))[0].payload
		got := make([]byte, 4096)
		if n, err := c.Read(got); err != nil || !bytes.Equal(got[:n], want) {
			t.Errorf("got %d bytes, %v, want %d", n, err, len(want))
		}
		closeBoth(t, c, peer)
	})
}

// TestRule1EmptyReadAndWrite calls Read and Write with nothing: they return at
// once, whether or not there is input and a cut frame in the way.
func TestRule1EmptyReadAndWrite(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		c, own, peer := memConn(cfg)
		empty := func(what string) {
			t.Helper()
			before := own.Written()
			for _, p := range [][]byte{nil, {}} {
				if n, err := c.Read(p); n != 0 || err != nil {
					t.Errorf("%s: Read got %d, %v", what, n, err)
				}
				if n, err := c.Write(p); n != 0 || err != nil {
					t.Errorf("%s: Write got %d, %v", what, n, err)
				}
			}
			synctest.Wait()
			if n := own.Written() - before; n != 0 {
				t.Errorf("%s: %d bytes on the wire", what, n)
			}
		}
		start := time.Now()
		c.SetDeadline(start.Add(time.Hour))
		empty("new")
		s := exchange(!cfg.Client, false)
		peer.Write(s.wire)
		own.SetWriteLimit(1)
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // one byte of a Pong is out
		empty("stalled")
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
		own.SetWriteLimit(-1)
		closeBoth(t, c, peer)
	})
}

// TestRule1WriteIsOneMessage checks what Writes of several sizes put on the
// wire.
func TestRule1WriteIsOneMessage(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		for _, writev := range []bool{false, true} {
			c, own, peer := memConn(cfg)
			if writev {
				c = walve.NewWritevConn(own, cfg)
			}
			for _, size := range []int{1, 125, 126, 65535, 65536, 70000, 1 << 20} {
				p := filler(size)
				buf := []byte(p)
				if n, err := c.Write(buf); n != size || err != nil {
					t.Fatalf("Write of %d: got %d, %v", size, n, err)
				}
				if string(buf) != p {
					t.Fatalf("Write of %d has changed its argument", size)
				}
				checkMessage(t, decode(t, take(t, own, peer), cfg.Client), bin, p)
			}
			closeBoth(t, c, peer)
		}
	})
}

// checkMessage checks that frames are one message of payload, in frames that
// are not empty and of at most 256 KiB.
func checkMessage(t testing.TB, frames []scriptFrame, op walve.Opcode, payload string) {
	t.Helper()
	var got strings.Builder
	for i, f := range frames {
		if f.op != op || f.fin != (i == len(frames)-1) || len(f.payload) > 256<<10 || len(f.payload) == 0 && payload != "" {
			t.Fatalf("frame %d is %v", i, f)
		}
		got.WriteString(f.payload)
		op = cont
	}
	if got.String() != payload {
		t.Fatalf("got %d bytes in %v, want %d", got.Len(), frames, len(payload))
	}
}
