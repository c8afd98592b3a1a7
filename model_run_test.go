package walve_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

var (
	modelRuns = flag.Int("model.runs", 300, "seeds that TestModel runs")
	modelSeed = flag.Uint64("model.seed", 1, "first of them; a failure prints its own")
)

// A modelTap keeps what is written to a connection.
type modelTap struct {
	*memconn.Conn
	mu  sync.Mutex
	got []byte
}

func (c *modelTap) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, p[:n]...)
	return n, err
}

// A modelWriter is one goroutine that writes: taken bytes are promised to the
// peer, maybe more of them are not known to be.
type modelWriter struct {
	id           int
	taken, maybe int
}

func (w *modelWriter) next(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = modelByte(w.id, w.taken+i)
	}
	return p
}

// A modelSide is one end of a run, and what is known of it.
type modelSide struct {
	*modelRun
	name    string
	c       *walve.Conn
	nc      *modelTap
	peer    *modelSide
	cfg     walve.TestConfig
	writers []*modelWriter
	calls   [][]modelCall // of each reader

	mu                             sync.Mutex
	closed                         bool // Close was called
	timed                          bool // deadlines are set
	late                           bool // a chunk of ReadFrom waits: a Close frame that may not wait, while NextWriter's writer is open, loses it
	torn                           bool // a writer was closed before the end of its frame
	dead                           bool // an error says that what was taken may not have left
	readErrs, writeErrs, otherErrs []error
	cutAt                          int64 // by a fault; < 0: nowhere
	cutBy                          memconn.Cut
}

// A modelRun is what one seed makes.
type modelRun struct {
	seed   uint64
	start  time.Time
	large  int // bits of the largest sizes
	mu     sync.Mutex
	log    strings.Builder
	failed error
	sides  [2]*modelSide
}

func (r *modelRun) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.log, "%8v ", time.Since(r.start))
	fmt.Fprintf(&r.log, format+"\n", args...)
}

// fail keeps what went wrong first.
func (r *modelRun) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = fmt.Errorf(format, args...)
	}
}

// within waits for wg, for much longer than anything may take.
func (r *modelRun) within(what string, wg *sync.WaitGroup) {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		stacks := make([]byte, 1<<20)
		r.fail("%s hang\n%s", what, stacks[:runtime.Stack(stacks, true)])
		for _, s := range r.sides {
			s.nc.Conn.Close()
			s.c.Close()
		}
		<-done
	}
}

// run does what the seed says.
func (r *modelRun) run() {
	r.start = time.Now()
	rnd := rand.New(rand.NewPCG(r.seed, 0))
	half := rnd.IntN(2) == 0
	var agreed *walve.Deflate
	if rnd.IntN(2) == 0 {
		agreed = &walve.Deflate{SendBits: 15, ReceiveBits: 15, SendTakeover: rnd.IntN(2) == 0, Threshold: 1 << rnd.IntN(10)}
		agreed.ReceiveTakeover = agreed.SendTakeover
	}
	bits := rnd.IntN(17)
	r.large = min(bits+5, 17)
	if rnd.IntN(8) > 0 {
		r.large = min(r.large, 10)
	}
	na, nb := memconn.Pipe(memconn.Buffer(1 << bits))
	conn := []func(net.Conn, walve.TestConfig) *walve.Conn{walve.NewTestConn, walve.NewWritevConn}[rnd.IntN(2)]
	for i, nc := range []*memconn.Conn{na, nb} {
		if rnd.IntN(3) > 0 {
			nc.SetReadSeed(r.seed + uint64(i))
		}
		s := &modelSide{modelRun: r, name: []string{"client", "server"}[i], nc: &modelTap{Conn: nc}, cutAt: -1}
		s.cfg = walve.TestConfig{Client: i == 0, HalfClose: half, Deflate: agreed}
		s.c = conn(s.nc, s.cfg)
		r.sides[i] = s
	}
	r.sides[0].peer, r.sides[1].peer = r.sides[1], r.sides[0]
	r.note("half-close %v, compression %v", half, agreed)

	var busy, reading sync.WaitGroup
	actors := 0
	start := func(s *modelSide, what string, wg *sync.WaitGroup, f func(*actor)) {
		actors++
		a := &actor{modelSide: s, rnd: rand.New(rand.NewPCG(r.seed, uint64(actors))), id: actors, name: fmt.Sprintf("%s %s %d", s.name, what, actors)}
		wg.Go(func() { f(a) })
	}
	for _, s := range r.sides {
		for i := range 1 + rnd.IntN(2) {
			w := &modelWriter{id: i}
			s.writers = append(s.writers, w)
			count := 1 + rnd.IntN(7)
			start(s, "writer", &busy, func(a *actor) {
				for range count {
					a.pause()
					if !a.write(w) {
						return
					}
				}
			})
		}
		readers := 1 + rnd.IntN(5)/3
		only := readers > 1 || rnd.IntN(3) == 0
		s.calls = make([][]modelCall, readers)
		for i := range readers {
			start(s, "reader", &reading, func(a *actor) { s.calls[i] = a.read(only) })
		}
		for _, x := range []struct {
			what string
			in   int // runs of how many have it
			f    func(*actor)
		}{
			{"deadlines", 2, (*actor).deadlines},
			{"pings", 2, (*actor).pings},
			{"close", 4, (*actor).close},
			{"faults", 2, func(a *actor) { a.faults(false) }},
			{"cut", 12, func(a *actor) { a.faults(true) }},
		} {
			if rnd.IntN(x.in) == 0 {
				start(s, x.what, &busy, x.f)
			}
		}
	}
	r.within("writers", &busy)
	// An end that both have closed reads no more before Close: a Pong behind the
	// peer's Close frame has to find room, as it does in a socket.
	na.Grow(4096)
	for _, s := range r.sides {
		s.finish(&busy)
	}
	r.within("CloseWrite", &busy)
	r.within("readers", &reading)
	for _, s := range r.sides {
		s.c.Close()
	}
	time.Sleep(10 * time.Second)
	for _, s := range r.sides {
		s.nc.Conn.Close()
	}
	for _, s := range r.sides {
		s.check()
	}
}

// finish ends s's writing, by force if a message is open or cannot be ended.
func (s *modelSide) finish(wg *sync.WaitGroup) {
	wg.Go(func() {
		s.c.SetDeadline(time.Time{})
		err := s.c.CloseWrite()
		s.note("%s: CloseWrite: %v", s.name, err)
		s.other(err)
		if err != nil && !errors.Is(err, net.ErrClosed) {
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
			s.c.Close()
		}
	})
}

// check holds what came of s against the model.
func (s *modelSide) check() {
	q, err := newModelQueue(s.nc.got, s.cfg.Client, s.cfg.Deflate)
	if err != nil {
		s.fail("%s: on the wire: %v", s.name, err)
		return
	}
	for i, f := range q.frames {
		s.note("%s: frame %d on the wire: %v fin=%v length=%d, %d bytes, cut=%v", s.name, i, f.op, f.fin, f.length, len(f.data), f.cut)
	}
	n, err := q.perWriter()
	if err != nil {
		s.fail("%s: %v", s.name, err)
		return
	}
	for _, err := range s.writeErrs {
		s.dead = s.dead || !isTimeout(err) && !errors.Is(err, net.ErrClosed) && !errorIn(err, "message is in progress")
	}
	s.dead = s.dead || s.late && (s.closed || !s.cfg.HalfClose) || s.cutAt >= 0 || s.peer.cutAt >= 0 || s.torn || s.peer.torn || s.peer.closed
	for _, w := range s.writers {
		if n[w.id] > w.taken+w.maybe || n[w.id] < w.taken && !s.dead {
			s.fail("%s: %d bytes of writer %d are on the wire, %d and perhaps %d were taken", s.name, n[w.id], w.id, w.taken, w.maybe)
		}
	}
	if q.mixed > 0 && !s.timed {
		s.fail("%s: messages of two writers are mixed", s.name)
	}
	s.peer.checkReads(q)
	s.checkErrors()
}

// checkReads holds what s has read against what its peer has sent.
func (s *modelSide) checkReads(q *modelQueue) {
	if s.peer.cutAt >= 0 && s.peer.cutBy == memconn.FIN { // a reset takes nothing that is lost
		q, _ = newModelQueue(s.peer.nc.got[:min(int64(len(s.peer.nc.got)), s.peer.cutAt)], s.peer.cfg.Client, s.cfg.Deflate)
	}
	if len(s.calls) == 1 {
		if err := q.replay(s.calls[0]); err != nil {
			s.fail("%s: %v", s.name, err)
		}
	} else {
		var pieces [2][][]byte
		total := 0
		for i, calls := range s.calls {
			for _, m := range calls {
				if len(m.data) > 0 {
					pieces[i] = append(pieces[i], m.data)
					total += len(m.data)
				}
			}
		}
		all := q.data()
		if !merged(all, pieces[0], pieces[1]) || s.readErrs[0] == io.EOF && total != len(all) {
			s.fail("%s: two readers got %d bytes of %d, or others", s.name, total, len(all))
		}
	}
	for _, err := range s.readErrs {
		var ce *walve.CloseError
		_, op := err.(*net.OpError)
		ok := op
		switch {
		case err == io.EOF:
			ok = q.clean()
		case errors.As(err, &ce):
			ok = op && q.closed && ce.Code == q.code && !q.clean()
		case errors.Is(err, io.ErrUnexpectedEOF):
			ok = op && !q.clean()
		case errors.Is(err, net.ErrClosed):
			ok = op && s.closed
		case errors.Is(err, syscall.ECONNRESET):
			ok = op && (s.cutAt >= 0 || s.peer.cutAt >= 0 || s.torn || s.peer.torn || s.peer.closed)
		default:
			ok = op && s.torn && errorIn(err, "before the end of its frame")
		}
		if !ok {
			s.fail("%s: a read failed with %T %v; the peer's Close frame: %v %d, inside a message %v", s.name, err, err, q.closed, q.code, q.inside)
		}
	}
}

// checkErrors holds the errors of all other calls against rule 4.
func (s *modelSide) checkErrors() {
	for _, err := range append(s.writeErrs, s.otherErrs...) {
		var ce *walve.CloseError
		_, ok := err.(*net.OpError)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			ok = ok && s.timed
		case errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded), errorIn(err, "message is in progress"):
		case errorIn(err, "deadline has cut"):
			ok = ok && s.timed
		case errorIn(err, "before the end of its frame"):
			ok = ok && s.torn
		case errors.Is(err, io.ErrUnexpectedEOF) && slices.ContainsFunc(s.readErrs, func(e error) bool { return errors.Is(e, io.ErrUnexpectedEOF) }):
			// as Read, which checkReads has looked at
		case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &ce), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			ok = ok && (s.torn || s.peer.torn || s.peer.closed || s.cutAt >= 0 || s.peer.cutAt >= 0)
		default:
			ok = false
		}
		if !ok {
			s.fail("%s: a call failed with %T %v", s.name, err, err)
		}
	}
}

// TestModel has goroutines of both ends call everything at once, as a seed says,
// and holds what comes of it against a model of two queues of bytes: what was
// taken is what is on the wire, in order and once; what is on the wire is what
// is read; and errors are those of rule 4. A hang or a goroutine left behind
// ends it too.
func TestModel(t *testing.T) {
	for i := range uint64(*modelRuns) {
		r := &modelRun{seed: *modelSeed + i}
		bubble(t, func(t *testing.T) {
			r.run()
			if r.failed != nil {
				t.Fatalf("-model.seed=%d -model.runs=1: %v\n%s", r.seed, r.failed, r.log.String())
			}
		})
	}
}
