package walve_test

import (
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// fragment is the payload of a frame that is put together in a buffer.
const fragment = walve.PieceSize - 14

// A writing is a way to write that has begun. write may be called again with
// what it has not taken, close until it gives no error.
type writing struct {
	write func(p []byte) (int, error)
	close func() error
}

type writeWay struct {
	name  string
	begin func(t *testing.T, c *walve.Conn, p string) writing
	// taken returns how much of n bytes write takes before a deadline cuts it
	// behind byte k of the wire, in frames that are laid out as in s.
	taken func(s *script, k, n, piece int) int
	// left returns how many bytes are on the wire when all of the n that were
	// taken have left. nil: write may gather some.
	left func(s *script, n int) int
}

var writeWays = []writeWay{
	{"Write", func(t *testing.T, c *walve.Conn, p string) writing { return writing{write: c.Write} }, takenFrames, leftFrames},
	{"NextWriter known", beginWriter(true), takenPieces, leftPiece},
	{"NextWriter unknown", beginWriter(false), takenFragments, nil},
	{"ReadFrom", func(t *testing.T, c *walve.Conn, p string) writing {
		return readFrom(t, c, strings.NewReader(p), func(r io.ReadSeeker) io.Reader { return struct{ io.Reader }{r} })
	}, takenChunks, leftFrames},
	{"ReadFrom file", func(t *testing.T, c *walve.Conn, p string) writing {
		f := openFile(t, p)
		w := readFrom(t, c, f, func(io.ReadSeeker) io.Reader { return f })
		w.close = f.Close
		return w
	}, takenFrames, leftFrames},
}

func beginWriter(known bool) func(*testing.T, *walve.Conn, string) writing {
	return func(t *testing.T, c *walve.Conn, p string) writing {
		h := walve.Header{Fin: true, Opcode: bin, Length: -1}
		if known {
			h.Length = int64(len(p))
		}
		w, err := c.NextWriter(h)
		if err != nil {
			t.Fatal(err)
		}
		return writing{w.Write, w.Close}
	}
}

// readFrom writes by ReadFrom, and checks that what it returns is what it has
// taken out of r.
func readFrom(t *testing.T, c *walve.Conn, r io.ReadSeeker, pass func(io.ReadSeeker) io.Reader) writing {
	return writing{write: func(p []byte) (int, error) {
		before, _ := r.Seek(0, io.SeekCurrent)
		n, err := c.ReadFrom(pass(r))
		if after, _ := r.Seek(0, io.SeekCurrent); after-before != n {
			t.Fatalf("ReadFrom has taken %d bytes and says %d, %v", after-before, n, err)
		}
		return int(n), err
	}}
}

func openFile(t *testing.T, p string) *os.File {
	t.Helper()
	f, err := os.CreateTemp("", "walve")
	if err == nil {
		os.Remove(f.Name())
		_, err = f.WriteString(p)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// takenFrames: the frames of which a byte is on the wire.
func takenFrames(s *script, k, n, piece int) (taken int) {
	for i, f := range s.frames {
		if s.begin(i) < k {
			taken += len(f.payload)
		}
	}
	return taken
}

// takenChunks: those, and the chunk in hand.
func takenChunks(s *script, k, n, piece int) int { return takenFrames(s, k+1, n, piece) }

// takenPieces: one frame, taken in pieces of which the first has the header.
func takenPieces(s *script, k, n, piece int) int {
	if k == 0 {
		return 0
	}
	return min(n, piece+max(0, k-s.heads[0]-1)/piece*piece)
}

// takenFragments: those that are full and of which the next is begun are sent,
// or kept, and another is gathered.
func takenFragments(s *script, k, n, piece int) int {
	i := 0
	for i < len(s.ends) && s.ends[i] <= k {
		i++
	}
	return min(n, (i+2)*fragment)
}

func leftFrames(s *script, n int) (end int) {
	for i, f := range s.frames {
		if n -= len(f.payload); n < 0 {
			break
		}
		end = s.ends[i]
	}
	return end
}

func leftPiece(s *script, n int) int {
	if n == 0 {
		return 0
	}
	return s.heads[0] + n
}

// A writer makes Conns of one kind.
type writer struct {
	name   string
	masked bool
	piece  int // what it writes at once
	make   func() (c *walve.Conn, own, peer *memconn.Conn)
}

func onPipe(cfg walve.TestConfig) func() (c *walve.Conn, own, peer *memconn.Conn) {
	return func() (c *walve.Conn, own, peer *memconn.Conn) { return memConn(cfg) }
}

// everyWriter runs f in a bubble for every kind of Conn that writes in its own
// way.
func everyWriter(t *testing.T, f func(t *testing.T, w writer)) {
	for _, w := range []writer{
		{"client", true, fragment, onPipe(walve.TestConfig{Client: true})},
		{"server", false, fragment, onPipe(walve.TestConfig{HalfClose: true})},
		{"server writev", false, walve.MaxWritev, func() (c *walve.Conn, own, peer *memconn.Conn) {
			_, own, peer = memConn(walve.TestConfig{})
			return walve.NewWritevConn(own, walve.TestConfig{}), own, peer
		}},
	} {
		t.Run(w.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { f(t, w) })
		})
	}
}

// cuts returns the positions at which a write of frames laid out as in s is to
// be cut: all of a small one, those around the borders of frames and pieces.
func cuts(s *script, piece int) []int {
	const small, near = 1000, 16
	var at []int
	frame := 0
	for k := range len(s.wire) + 2 {
		if frame < len(s.ends)-1 && k > s.ends[frame]+near {
			frame++
		}
		if len(s.wire) > small && sampled(k) {
			continue
		}
		if len(s.wire) < small || k < near || k > s.ends[frame]-near || (k+near-s.heads[frame])%piece < 2*near {
			at = append(at, k)
		}
	}
	return at
}

// A limiter bounds what the stream of a Conn takes, and knows what of it has
// left.
type limiter interface {
	SetWriteLimit(n int64)
	Written() int64
}

// write writes all of p in way w, cut behind byte k of the wire: by a deadline
// that passes meanwhile or, with interrupt, one that is set to the past. It
// goes on as soon as the peer takes more or, with alone, when the rest of what
// was taken has left by itself.
func (w writeWay) write(t *testing.T, c *walve.Conn, own limiter, s *script, p string, k, piece int, interrupt, alone bool) {
	t.Helper()
	own.SetWriteLimit(int64(k))
	wr := w.begin(t, c, p)
	cut := func(f func() error) error {
		c.SetWriteDeadline(soon())
		if !interrupt {
			return f()
		}
		c.SetWriteDeadline(time.Now().Add(time.Hour))
		wait := background(f)
		synctest.Wait()
		c.SetWriteDeadline(past)
		return wait()
	}
	n := 0
	err := cut(func() (err error) { n, err = wr.write([]byte(p)); return err })
	if err != nil {
		checkTimeout(t, "write", err)
	}
	if want := w.taken(s, k, len(p), piece); n != want || err == nil && n < len(p) {
		t.Fatalf("cut behind byte %d of %d: got %d, %v, want %d", k, len(s.wire), n, err, want)
	}
	if err != nil && n == len(p) && !strings.HasPrefix(w.name, "ReadFrom") { // which cannot know that this was all
		t.Fatalf("cut behind byte %d of %d: complete, and yet %v", k, len(s.wire), err)
	}
	if n == len(p) && wr.close != nil {
		if err := cut(wr.close); err == nil {
			wr.close = nil
		} else {
			checkTimeout(t, "close", err)
		}
	}
	own.SetWriteLimit(-1)
	if alone {
		synctest.Wait() // the deadline, which has passed, does not hold up the rest
		if got := own.Written(); w.left != nil && got != int64(w.left(s, n)) {
			t.Fatalf("cut behind byte %d of %d: %d bytes have left by themselves, want %d", k, len(s.wire), got, w.left(s, n))
		}
	}
	c.SetWriteDeadline(time.Time{})
	for n < len(p) {
		m, err := wr.write([]byte(p[n:]))
		if n += m; err != nil {
			t.Fatalf("cut behind byte %d, going on: got %d, %v", k, m, err)
		}
	}
	if wr.close != nil {
		if err := wr.close(); err != nil {
			t.Fatalf("cut behind byte %d, close: %v", k, err)
		}
	}
}

// uncut writes p without a deadline and returns how it lies on the wire.
func (w writeWay) uncut(t *testing.T, wtr writer, p string) *script {
	t.Helper()
	c, own, peer := wtr.make()
	wr := w.begin(t, c, p)
	if n, err := wr.write([]byte(p)); n != len(p) || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if wr.close != nil {
		if err := wr.close(); err != nil {
			t.Fatal(err)
		}
	}
	frames := decode(t, take(t, own, peer), wtr.masked)
	closeBoth(t, c, peer)
	var payload strings.Builder
	for i, f := range frames {
		if whole := i == len(frames)-1 || strings.HasPrefix(w.name, "ReadFrom"); f.fin != whole {
			t.Fatalf("frame %d of %d is %v", i, len(frames), f)
		}
		payload.WriteString(f.payload)
	}
	if payload.String() != p {
		t.Fatalf("without a deadline the peer got %d bytes, want %d", payload.Len(), len(p))
	}
	return newScript(wtr.masked, frames...)
}

// TestRule2WriteDeadlineAtEveryByte cuts every way to write behind every byte,
// and behind those around the borders of frames. Going on with what was not
// taken gives the peer what it gets without a deadline, to the frame.
func TestRule2WriteDeadlineAtEveryByte(t *testing.T) {
	for _, w := range writeWays {
		t.Run(w.name, func(t *testing.T) {
			everyWriter(t, func(t *testing.T, wtr writer) {
				if w.name == "ReadFrom file" && wtr.piece == fragment {
					return // as any other reader
				}
				for _, size := range []int{1, 130, 2*wtr.piece + 100} {
					p := filler(size)
					s := w.uncut(t, wtr, p)
					for i, k := range cuts(s, wtr.piece) {
						c, own, peer := wtr.make()
						w.write(t, c, own, s, p, k, wtr.piece, i%2 == 1, i%3 == 1)
						synctest.Wait()
						checkFrames(t, "data", decode(t, take(t, own, peer), wtr.masked), s.frames...)
						closeBoth(t, c, peer)
					}
				}
			})
		})
	}
}
