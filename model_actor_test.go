package walve_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// An actor does one thing after another, at moments and with choices of its
// own, so that the seed alone says which.
type actor struct {
	*modelSide
	rnd  *rand.Rand
	name string
	id   int
}

// pause waits until a moment at which no other actor begins anything.
func (a *actor) pause() {
	time.Sleep(time.Duration(1+a.rnd.IntN(2000))*time.Microsecond + time.Duration(a.id)*time.Nanosecond)
}

func (a *actor) note(format string, args ...any) { a.modelRun.note(a.name+": "+format, args...) }

// size is small, mostly, and more so where bytes go one by one.
func (a *actor) size() int {
	most := []int{4, 7, 10, a.large}[a.rnd.IntN(4)]
	return a.rnd.IntN(1 << a.rnd.IntN(1+min(most, a.large)))
}

// insist repeats what a deadline has cut.
func (a *actor) insist(f func() error) (err error) {
	for {
		if err = f(); !isTimeout(err) {
			return err
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// write does one thing that writes and reports whether to go on.
func (a *actor) write(w *modelWriter) bool {
	p := w.next(a.size())
	op := []walve.Opcode{bin, text}[a.rnd.IntN(2)]
	var n int
	var err error
	sure := true // n is exact
	method := []string{"Write", "Write", "WriteMessage", "ReadFrom", "NextWriter", "NextWriter -1", "fragments", "torn"}[a.rnd.IntN(8)]
	if method == "torn" && a.rnd.IntN(8) > 0 {
		method = "Write"
	}
	a.note("%s of %d bytes from %d", method, len(p), w.taken)
	switch method {
	case "Write":
		n, err = a.c.Write(p)
		again := a.rnd.IntN(3) > 0
		for isTimeout(err) && again && n < len(p) {
			time.Sleep(100 * time.Microsecond)
			var m int
			m, err = a.c.Write(p[n:])
			n += m
		}
	case "WriteMessage":
		if err = a.c.WriteMessage(op, p); err == nil {
			n = len(p)
		} else if !errorIn(err, "message is in progress") {
			sure = false
		}
	case "ReadFrom":
		var m int64
		m, err = a.c.ReadFrom(struct{ io.Reader }{bytes.NewReader(p)})
		n = int(m)
		a.mu.Lock()
		a.late = a.late || isTimeout(err)
		a.mu.Unlock()
	case "torn":
		p = append(p, 0)
		n, err = a.frame(walve.Header{Fin: true, Opcode: op, Length: int64(len(p))}, p[:len(p)-1])
		sure = false
	case "fragments":
		for i, k := 0, 1+a.rnd.IntN(3); i <= k && err == nil; i++ {
			h := walve.Header{Fin: i == k, Opcode: cont, Length: -1}
			if i == 0 {
				h.Opcode = op
			}
			q := p[n:]
			if i < k {
				q = q[:a.rnd.IntN(len(q)+1)*a.rnd.IntN(2)]
			}
			if a.rnd.IntN(2) == 0 {
				h.Length = int64(len(q))
			}
			var m int
			m, err = a.frame(h, q)
			n += m
			if err != nil && m > 0 {
				sure = false
			}
			if i < k && a.rnd.IntN(2) == 0 {
				a.pause()
			}
		}
	default:
		h := walve.Header{Fin: true, Opcode: op, Length: int64(len(p))}
		if method == "NextWriter -1" {
			h.Length = -1
		}
		n, err = a.frame(h, p)
		sure = err == nil || n == 0
	}
	a.note("%s: %d, %v", method, n, err)
	if sure {
		w.taken += n
	} else {
		w.maybe = len(p)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.writeErrs = append(a.writeErrs, err)
	}
	if err == nil || isTimeout(err) && sure || errorIn(err, "message is in progress") && sure {
		return true
	}
	if w.maybe == 0 {
		w.maybe = len(p) - n
	}
	return false
}

// frame writes p by NextWriter.
func (a *actor) frame(h walve.Header, p []byte) (n int, err error) {
	var w io.WriteCloser
	if err = a.insist(func() (err error) { w, err = a.c.NextWriter(h); return err }); err != nil {
		return 0, err
	}
	for n < len(p) && err == nil {
		k := 1 + a.rnd.IntN(len(p)-n)
		err = a.insist(func() error {
			m, err := w.Write(p[n:][:k])
			n, k = n+m, k-m
			return err
		})
		if a.rnd.IntN(4) == 0 {
			a.pause()
		}
	}
	if int64(n) < h.Length {
		a.mu.Lock()
		a.torn = true
		a.mu.Unlock()
	}
	if cerr := a.insist(w.Close); err == nil {
		err = cerr
	}
	return n, err
}

// read reads to the end, in every way or by Read only.
func (a *actor) read(only bool) (calls []modelCall) {
	buf := make([]byte, 128<<10)
	for {
		m := modelCall{method: "Read"}
		if !only {
			m.method = []string{"Read", "Read", "NextReader", "NextMessage", "ReadMessage"}[a.rnd.IntN(5)]
		}
		var r io.Reader
		switch m.method {
		case "Read":
			var n int
			n, m.err = a.c.Read(buf[:1+a.size()])
			m.data = bytes.Clone(buf[:n])
		case "NextReader":
			var h walve.Header
			h, r, m.err = a.c.NextReader()
			m.op, m.fin, m.length = h.Opcode, h.Fin, h.Length
		case "NextMessage":
			m.op, r, m.err = a.c.NextMessage()
		case "ReadMessage":
			m.op, m.data, m.err = a.c.ReadMessage()
		}
		a.note("%v", m)
		calls = append(calls, m)
		for i, most := 0, a.rnd.IntN(40); r != nil && m.err == nil && i < most; i++ {
			n, err := r.Read(buf[:1+a.size()])
			p := modelCall{method: "payload", data: bytes.Clone(buf[:n]), message: m.method == "NextMessage" || m.length < 0, err: err}
			a.note("%v", p)
			calls = append(calls, p)
			if err == io.EOF {
				r = nil
			} else if err != nil {
				m.err = err
			}
		}
		switch {
		case isTimeout(m.err):
			time.Sleep(100 * time.Microsecond)
		case m.err != nil && !errorIn(m.err, "another read"):
			a.mu.Lock()
			defer a.mu.Unlock()
			a.readErrs = append(a.readErrs, m.err)
			return calls
		case a.rnd.IntN(4) == 0:
			a.pause()
		}
	}
}

// deadlines sets them: past, soon, and none in the end.
func (a *actor) deadlines() {
	a.mu.Lock()
	a.timed = true
	a.mu.Unlock()
	for range 1 + a.rnd.IntN(12) {
		a.pause()
		by := []time.Time{past, time.Now(), time.Now().Add(time.Duration(a.rnd.IntN(3000)) * time.Microsecond), {}}[a.rnd.IntN(4)]
		which := a.rnd.IntN(3)
		a.note("deadline %d: %v", which, by.Sub(a.start))
		[]func(time.Time) error{a.c.SetReadDeadline, a.c.SetWriteDeadline, a.c.SetDeadline}[which](by)
	}
	a.pause()
	a.c.SetDeadline(time.Time{})
}

func (a *actor) pings() {
	for range 1 + a.rnd.IntN(3) {
		a.pause()
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(a.rnd.IntN(5000))*time.Microsecond)
		err := a.c.Ping(ctx)
		cancel()
		a.note("Ping: %v", err)
		a.other(err)
	}
}

func (a *modelSide) other(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.otherErrs = append(a.otherErrs, err)
	}
}

// close closes, in the midst or not at all.
func (a *actor) close() {
	for range a.rnd.IntN(10) {
		a.pause()
	}
	how := a.rnd.IntN(3)
	a.note("close %d", how)
	if how > 0 {
		a.mu.Lock()
		a.closed = true
		a.mu.Unlock()
	}
	a.other([]func() error{a.c.CloseWrite, a.c.Close, func() error { return a.c.CloseWithStatus(1001, "enough") }}[how]())
	a.note("closed")
}

// faults holds back and splits what a's end writes and reads.
func (a *actor) faults(cut bool) {
	for range a.rnd.IntN(8) {
		a.pause()
		switch a.rnd.IntN(4) {
		case 0:
			a.nc.Stall()
		case 1:
			a.nc.SetWriteLimit(int64(a.size()))
		case 2:
			a.nc.SetMaxRead(1 + a.size())
		case 3:
			a.nc.Resume()
			a.nc.SetWriteLimit(-1)
		}
	}
	a.nc.Resume()
	a.nc.SetWriteLimit(-1)
	a.nc.SetMaxRead(0)
	if cut {
		by := memconn.Cut(a.rnd.IntN(2))
		a.mu.Lock()
		a.cutAt, a.cutBy = max(int64(a.size()), a.nc.Written()), by
		a.nc.Cut(a.cutAt, by)
		a.cutAt = max(a.cutAt, a.nc.Written()) // it may have gone on meanwhile
		a.mu.Unlock()
		a.note("cut at %d by %d", a.cutAt, by)
	}
}

func errorIn(err error, s string) bool { return err != nil && strings.Contains(err.Error(), s) }
