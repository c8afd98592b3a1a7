package faults_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// A transfer is a stream in each direction, whose every byte both ends know.
type transfer struct {
	id    uint64
	size  int64         // of each direction
	limit time.Duration // of the whole, by deadline

	connected func() // called when the client is; or nil
}

func (x transfer) query() string {
	return fmt.Sprintf("?id=%d&size=%d&limit=%v", x.id, x.size, x.limit)
}

func parseTransfer(u *url.URL) (x transfer) {
	q := u.Query()
	x.id, _ = strconv.ParseUint(q.Get("id"), 10, 64)
	x.size, _ = strconv.ParseInt(q.Get("size"), 10, 64)
	x.limit, _ = time.ParseDuration(q.Get("limit"))
	return x
}

// content is what one side sends.
func (x transfer) content(side byte) *rand.ChaCha8 {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], x.id)
	seed[8] = side
	return rand.NewChaCha8(seed)
}

const (
	clientSide byte = iota
	serverSide
)

// An outcome is how a transfer has ended on one side. Err is empty after io.EOF.
type outcome struct {
	ID, Size int64
	Read     int64
	Damaged  bool // a byte read was not the one sent
	Err      string
	WriteErr string
}

func (o outcome) complete() bool { return o.Err == "" && o.WriteErr == "" && o.wrong() == "" }

// wrong says what no fault of the network excuses.
func (o outcome) wrong() string {
	switch {
	case o.Damaged:
		return "bytes that were not sent"
	case o.Err == "" && o.Read != o.Size:
		return "clean end of a stream that was truncated"
	case o.Read > o.Size:
		return "more bytes than were sent"
	}
	return ""
}

// run exchanges x on c and closes it.
func (x transfer) run(c *walve.Conn, side byte) outcome {
	c.SetDeadline(time.Now().Add(x.limit))
	o := outcome{ID: int64(x.id), Size: x.size}
	wrote := make(chan error, 1)
	go func() { wrote <- x.write(c, side) }()
	x.read(c, 1-side, &o)
	if err := <-wrote; err != nil {
		o.WriteErr = err.Error()
	}
	c.Close()
	return o
}

func (x transfer) write(c *walve.Conn, side byte) error {
	content, sizes := x.content(side), rand.New(rand.NewPCG(x.id, uint64(side)))
	buf := make([]byte, 64<<10)
	for left := x.size; left > 0; {
		n := min(left, 1+sizes.Int64N(int64(len(buf))))
		content.Read(buf[:n])
		if _, err := c.Write(buf[:n]); err != nil {
			return err
		}
		left -= n
	}
	return c.CloseWrite()
}

func (x transfer) read(c *walve.Conn, side byte, o *outcome) {
	content := x.content(side)
	got, want := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := c.Read(got)
		content.Read(want[:n])
		o.Read += int64(n)
		o.Damaged = o.Damaged || !bytes.Equal(got[:n], want[:n])
		if err != nil {
			if err != io.EOF {
				o.Err = err.Error()
			}
			return
		}
	}
}

// A site is a Listener that serves transfers.
type site struct {
	ln       *walve.Listener
	running  sync.WaitGroup
	mu       sync.Mutex
	outcomes []outcome
	// report is called with each outcome; nil: never.
	report func(outcome)
}

func (s *site) serve(ln *walve.Listener) {
	s.ln = ln
	s.running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() {
				conn := c.(*walve.Conn)
				o := parseTransfer(conn.Request().URL).run(conn, serverSide)
				s.mu.Lock()
				defer s.mu.Unlock()
				s.outcomes = append(s.outcomes, o)
				if s.report != nil {
					s.report(o)
				}
			})
		}
	})
}

// finish waits for the server's sides and returns their outcomes.
func (s *site) finish(ctx context.Context) ([]outcome, error) {
	err := s.ln.Shutdown(ctx)
	s.running.Wait()
	return s.outcomes, err
}

// check fails the test if an outcome is what no fault excuses, or, of the
// lossless kind, if it is not complete.
func check(t testing.TB, side string, outcomes []outcome, lossless bool) (complete int) {
	t.Helper()
	for _, o := range outcomes {
		if s := o.wrong(); s != "" {
			t.Errorf("%s of stream %d: %s: %+v", side, o.ID, s, o)
		}
		if o.complete() {
			complete++
		} else if lossless {
			t.Errorf("%s of stream %d did not survive: %+v", side, o.ID, o)
		}
	}
	return complete
}

// dial runs the client's side of x.
func (x transfer) dial(d *walve.Dialer, at string) (outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), x.limit)
	defer cancel()
	c, err := d.DialURL(ctx, at+x.query())
	if err != nil {
		return outcome{}, err
	}
	if x.connected != nil {
		x.connected()
	}
	return x.run(c, clientSide), nil
}

// load runs transfers, several at a time, and returns the client's outcomes and
// how many did not connect.
func load(d *walve.Dialer, at string, count, parallel int, x transfer) (outcomes []outcome, failed error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range parallel {
		wg.Go(func() {
			for id := range next {
				mine := x
				mine.id += id
				o, err := mine.dial(d, at)
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
				} else {
					outcomes = append(outcomes, o)
				}
				mu.Unlock()
			}
		})
	}
	for i := range count {
		next <- uint64(i)
	}
	close(next)
	wg.Wait()
	return outcomes, failed
}

// keepAlive is long enough for a busy machine not to take its own slowness for a
// peer that is dead.
const keepAlive = 3 * time.Second

// count is of the transfers that a process has at a time.
const count = 4

// endless is a transfer that nothing but a fault or its limit ends.
var endless = transfer{size: 1 << 40, limit: timeout}
