package walve_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
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
