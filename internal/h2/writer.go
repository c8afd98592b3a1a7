package h2

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/bodokaiser/walve/internal/stream"
	"golang.org/x/net/http2"
)

const (
	frameHeaderLen = 9

	// maxQueued bounds the frames that wait to be written. It is what one
	// write hands to TLS, and what everything else has to wait for.
	maxQueued = 64 << 10
	// maxWriteFrame bounds the payload of a DATA frame, whatever the server
	// allows, so that streams take turns.
	maxWriteFrame = 16<<10 - frameHeaderLen
	// maxAcks bounds the answers that wait because the server does not read
	// while it makes us answer.
	maxAcks = 1000
	// goodbyeTimeout bounds the time for the last words.
	goodbyeTimeout = time.Second
)

// out and ctl are swapped with a buffer of the writer; an idle Conn holds none.
var outBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, maxQueued+maxWriteFrame+2*frameHeaderLen)
	return &b
}}

// queueWriter is where the Framer that writes writes to.
type queueWriter struct{ c *Conn }

func (w queueWriter) Write(p []byte) (int, error) {
	*w.c.target = append(*w.c.target, p...)
	return len(p), nil
}

// control queues frames that overtake all others: they belong to the
// connection, or give window back. c.mu is held.
func (c *Conn) control(write func(*http2.Framer)) {
	c.target = &c.ctl
	write(c.framer)
	c.target = &c.out
	c.signalWriter()
}

// frame queues frames behind those that are waiting. c.mu is held.
func (c *Conn) frame(write func(*http2.Framer)) {
	write(c.framer)
	c.signalWriter()
}

// data queues a DATA frame. c.mu is held.
func (c *Conn) data(id uint32, p []byte, end bool) {
	if c.out == nil {
		c.out = (*outBuffers.Get().(*[]byte))[:0]
	}
	var flags byte
	if end {
		flags = byte(http2.FlagDataEndStream)
	}
	n := len(p)
	c.out = append(c.out, byte(n>>16), byte(n>>8), byte(n), byte(http2.FrameData), flags)
	c.out = binary.BigEndian.AppendUint32(c.out, id)
	c.out = append(c.out, p...)
	c.rate.sent(n)
	c.signalWriter()
}

func (c *Conn) roomLocked() bool { return len(c.out) < maxQueued }

func (c *Conn) signalWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// writeLoop is the goroutine that writes. It ends with the connection, after
// what was queued before that: nothing of it belongs to a stream that failed.
func (c *Conn) writeLoop() {
	defer close(c.closed)
	defer c.nc.Close()
	for {
		c.mu.Lock()
		over := c.err != nil
		c.sentLocked()
		ctl, out := c.ctl, c.out
		if len(ctl)+len(out) > 0 {
			c.taken++
		}
		c.ctl, c.out, c.acks = nil, nil, 0
		c.grantLocked()
		c.mu.Unlock()
		err := c.send(ctl, out)
		if err != nil {
			c.fail(eof(err))
			c.mu.Lock()
			c.failed = true
			c.flushedLocked()
			c.mu.Unlock()
			return
		}
		if len(ctl)+len(out) > 0 {
			continue
		}
		if over {
			return
		}
		<-c.wake
	}
}

// sentLocked notes that all the writer has taken is with nc.
func (c *Conn) sentLocked() {
	c.sent = c.taken
	c.flushedLocked()
}

// flushedLocked has those who wait in Flush look again.
func (c *Conn) flushedLocked() {
	if c.flushed != nil {
		close(c.flushed)
		c.flushed = nil
	}
}

// queuedLocked returns what sent has to be for all that is queued now.
func (c *Conn) queuedLocked() uint64 {
	if len(c.ctl)+len(c.out) > 0 {
		return c.taken + 1
	}
	return c.taken
}

func (c *Conn) send(ctl, out []byte) (err error) {
	if n := len(ctl); n > 0 && n+len(out) <= cap(out) {
		out = append(out, ctl...) // one write for both, in place
		copy(out[n:], out[:len(out)-n])
		copy(out, ctl)
		ctl = nil
	}
	if len(ctl) > 0 {
		_, err = c.nc.Write(ctl)
	}
	if len(out) > 0 && err == nil {
		_, err = stream.WriteRecords(c.nc, out)
	}
	if cap(out) >= maxQueued && cap(out) <= 2*maxQueued {
		out = out[:0]
		outBuffers.Put(&out)
	}
	return err
}

// waiters are the streams that wait for window of the connection or for room
// in the queue, in the order they came. The first is granted what there is; a
// stream that has got something and wants more goes to the end.
type waiters struct{ first, last *Stream }

func (w *waiters) empty() bool { return w.first == nil }

func (w *waiters) push(s *Stream) {
	if s.queued {
		return
	}
	s.queued, s.next = true, nil
	if w.last == nil {
		w.first = s
	} else {
		w.last.next = s
	}
	w.last = s
}

func (w *waiters) remove(s *Stream) {
	if !s.queued {
		return
	}
	var prev *Stream
	for p := w.first; p != nil; prev, p = p, p.next {
		if p != s {
			continue
		}
		if prev == nil {
			w.first = s.next
		} else {
			prev.next = s.next
		}
		if w.last == s {
			w.last = prev
		}
	}
	s.queued, s.next = false, nil
}

// grantLocked lets the stream that waits longest go on, if it can.
func (c *Conn) grantLocked() {
	if s := c.waiting.first; s != nil && c.window > 0 && c.roomLocked() {
		c.waiting.remove(s)
		s.granted = true
		stream.Signal(s.wwake)
	}
}
