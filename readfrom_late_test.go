package walve_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// lateReadFrom has a ReadFrom wait for whoever writes until its deadline cuts
// it: it counts its chunk, which then waits for its turn.
func lateReadFrom(t *testing.T, c *walve.Conn) {
	t.Helper()
	r := begin(func() (int, error) {
		n, err := c.ReadFrom(struct{ *strings.Reader }{strings.NewReader("late")})
		return int(n), err
	})
	synctest.Wait()
	c.SetWriteDeadline(past)
	got := <-r
	checkTimeout(t, "ReadFrom", got.err)
	if got.n != 4 {
		t.Fatalf("ReadFrom: got %d, want what it has read to be kept", got.n)
	}
	synctest.Wait() // whoever wrote has been cut too
	c.SetWriteDeadline(time.Time{})
	synctest.Wait()
}

// TestRule2ReadFromKeptIsSentBeforeClose: a chunk that ReadFrom has counted and
// whose turn has come leaves before the Close frame, also if what is before it
// was not on the wire yet when Close came.
func TestRule2ReadFromKeptIsSentBeforeClose(t *testing.T) {
	for range 50 { // which goroutine gets the turn is up to chance
		everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
			c, own, peer := memConn(cfg)
			own.SetWriteLimit(3)
			write := begin(func() (int, error) { return c.Write([]byte("first")) })
			synctest.Wait()
			lateReadFrom(t, c)
			if r := <-write; r.n != 5 {
				t.Fatalf("Write: got %d, want a frame that was begun to count whole", r.n)
			}
			closed := background(c.Close)
			synctest.Wait()
			own.SetWriteLimit(-1)
			if err := closed(); err != nil {
				t.Error(err)
			}
			checkFrames(t, "data", decode(t, take(t, own, peer), cfg.Client), scriptFrame{bin, true, "first"}, scriptFrame{bin, true, "late"}, closeFrame(1000, ""))
			peer.Close()
		})
	}
}

// TestRule2ReadFromKeptWaitsForMessage: a chunk that ReadFrom has counted waits
// for the end of the message that NextWriter has begun.
func TestRule2ReadFromKeptWaitsForMessage(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		c, own, peer := memConn(cfg)
		w := nextWriter(t, c, walve.Header{Opcode: bin, Length: 5})
		lateReadFrom(t, c)
		writeN(t, w, "begin")
		closeW(t, w)
		synctest.Wait()
		w = nextWriter(t, c, walve.Header{Opcode: cont, Length: -1})
		writeN(t, w, "on")
		closeW(t, w)
		synctest.Wait()
		w = nextWriter(t, c, walve.Header{Fin: true, Opcode: cont, Length: 3})
		writeN(t, w, "end")
		closeW(t, w)
		synctest.Wait()
		checkFrames(t, "data", decode(t, take(t, own, peer), cfg.Client), scriptFrame{bin, false, "begin"}, scriptFrame{cont, false, "on"},
			scriptFrame{cont, true, "end"}, scriptFrame{bin, true, "late"})
		closeBoth(t, c, peer)
	})
}

// TestRule2ReadFromKeptWhenCloseComes: a chunk that ReadFrom has counted leaves
// before the Close frame also if its turn has not come yet. Only inside a
// message of NextWriter there is no place for it, and the peer sees that this
// message has no end.
func TestRule2ReadFromKeptWhenCloseComes(t *testing.T) {
	late, end := scriptFrame{bin, true, "late"}, closeFrame(1000, "")
	for _, tt := range []struct {
		name   string
		inside bool // of a message when Close comes
		begin  func(t *testing.T, c *walve.Conn) (finish func())
		want   []scriptFrame
	}{
		{"a writer that has sent nothing", false, func(t *testing.T, c *walve.Conn) func() {
			writeN(t, nextWriter(t, c, walve.Header{Fin: true, Opcode: bin, Length: -1}), "lost")
			return func() {}
		}, []scriptFrame{late, end}},
		{"a message that has just ended", false, func(t *testing.T, c *walve.Conn) func() {
			w := nextWriter(t, c, walve.Header{Fin: true, Opcode: bin, Length: 3})
			return func() { writeN(t, w, "end"); closeW(t, w) }
		}, []scriptFrame{{bin, true, "end"}, late, end}},
		{"a message that goes on", true, func(t *testing.T, c *walve.Conn) func() {
			w := nextWriter(t, c, walve.Header{Opcode: bin, Length: 5})
			return func() { writeN(t, w, "begin"); closeW(t, w) }
		}, []scriptFrame{{bin, false, "begin"}, end}},
		{"a frame that lacks its end", true, func(t *testing.T, c *walve.Conn) func() {
			w := nextWriter(t, c, walve.Header{Fin: true, Opcode: bin, Length: 5})
			return func() { writeN(t, w, "begi") }
		}, nil}, // no whole frame
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, agreed := range []*walve.Deflate{nil, {SendBits: 15, ReceiveBits: 15}} {
				if agreed != nil && tt.inside {
					continue // the writer gathers and has sent nothing
				}
				for range 20 { // which goroutine comes first is up to chance
					everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
						cfg.Deflate = agreed
						c, own, peer := memConn(cfg)
						finish := tt.begin(t, c)
						lateReadFrom(t, c)
						finish()
						if err := c.Close(); err != nil {
							t.Error(err)
						}
						wire := take(t, own, peer)
						if tt.want != nil {
							checkFrames(t, "data", decode(t, wire, cfg.Client), tt.want...)
						} else if strings.Contains(string(wire), "late") {
							t.Errorf("%q: inside a frame", wire)
						}
						peer.Close()
					})
				}
			}
		})
	}
}

// deafConn takes every write deadline and keeps none.
type deafConn struct{ *memconn.Conn }

func (deafConn) SetWriteDeadline(time.Time) error { return nil }

// TestRule2ReadFromKeptBehindDeafWrite is that behind a Write which neither the
// deadline nor Close can cut: it comes to the end of its frame.
func TestRule2ReadFromKeptBehindDeafWrite(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		own, peer := memconn.Pipe(memconn.Buffer(1 << 20))
		c := walve.NewTestConn(deafConn{own}, cfg)
		own.SetWriteLimit(3)
		p := strings.Repeat("x", 100<<10)
		write := begin(func() (int, error) { return c.Write([]byte(p)) })
		synctest.Wait()
		lateReadFrom(t, c)
		closed := background(c.Close)
		synctest.Wait()
		own.SetWriteLimit(-1)
		if err := closed(); err != nil {
			t.Error(err)
		}
		n := (<-write).n
		checkFrames(t, "data", decode(t, take(t, own, peer), cfg.Client),
			scriptFrame{bin, false, p[:n]}, scriptFrame{cont, true, "late"}, closeFrame(1000, ""))
		peer.Close()
	})
}

// TestRule2ReadFromKeptBehindWriteWhenCloseComes is that behind a Write of
// several frames that the deadline cuts as well, or that Close does.
func TestRule2ReadFromKeptBehindWriteWhenCloseComes(t *testing.T) {
	for range 50 { // which goroutine comes first is up to chance
		everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
			c, own, peer := memConn(cfg, memconn.Buffer(1<<20))
			own.SetWriteLimit(3)
			p := strings.Repeat("x", 100<<10)
			write := begin(func() (int, error) { return c.Write([]byte(p)) })
			synctest.Wait()
			read := begin(func() (int, error) {
				n, err := c.ReadFrom(struct{ *strings.Reader }{strings.NewReader("late")})
				return int(n), err
			})
			synctest.Wait()
			c.SetWriteDeadline(past)
			if r := <-read; r.n != 4 {
				t.Fatalf("ReadFrom: %d, %v", r.n, r.err)
			}
			closed := background(c.Close) // at once
			n := (<-write).n
			own.SetWriteLimit(-1)
			if err := closed(); err != nil {
				t.Error(err)
			}
			checkFrames(t, "data", decode(t, take(t, own, peer), cfg.Client),
				scriptFrame{bin, n == len(p), p[:n]}, scriptFrame{cont, true, "late"}, closeFrame(1000, ""))
			peer.Close()
		})
	}
}
