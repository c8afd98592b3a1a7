package walve

import (
	"io"
	"os"

	"github.com/bodokaiser/walve/internal/stream"
)

// ReadFrom writes what it reads from r until io.EOF, each chunk as one binary
// message, and returns how many bytes the peer will get. When the write
// deadline passes, a chunk that was read from r is kept, counted, and sent as
// soon as the peer takes it.
//
// On a server without TLS the kernel moves the bytes of an *os.File (sendfile)
// and, on Linux, of a *net.TCPConn or *net.UnixConn (splice), also when io.Copy
// calls ReadFrom.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	total, err := c.fromKernel(r)
	if err != nil {
		return total, err
	}
	for {
		if err := c.writeExpired(); err != nil {
			return total, err
		}
		b := stream.GetLarge()
		n, rerr := r.Read(b[maxHeaderSize:])
		if n > 0 {
			err := c.writeChunk(b, n)
			if err == nil || isTimeout(err) {
				total += int64(n)
			}
			if err != nil {
				return total, err
			}
		} else {
			stream.PutLarge(b)
		}
		if rerr == io.EOF {
			return total, nil
		}
		if rerr != nil {
			return total, rerr
		}
	}
}

// writeExpired returns the error of a write that would start now, if that is
// certain: ReadFrom then takes nothing from its reader.
func (c *Conn) writeExpired() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.unwritableLocked(); err != nil {
		return err
	}
	if c.writeBy.passed() {
		return c.opError("write", os.ErrDeadlineExceeded)
	}
	return nil
}

// writeChunk writes the n bytes that ReadFrom has gathered in b, and takes b
// over. They cannot go back to where they came from: after a timeout they are
// in line.
func (c *Conn) writeChunk(b *stream.Large, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.takeForWriteLocked(&c.msgTurn)
	if isTimeout(err) {
		// In line behind those who wait, before what this caller writes next.
		var w *waiter
		if c.msgTurn.held {
			w = c.msgTurn.enqueue()
		}
		c.msgTurn.held = true
		go c.writeLate(w, b, n)
		return err
	}
	if err != nil {
		return err
	}
	err = c.takeWireLocked()
	if isTimeout(err) {
		go c.writeLate(nil, b, n)
		return err
	}
	if err == nil {
		c.mu.Unlock()
		err = c.writeKept(b, n)
		c.mu.Lock()
		c.releaseWireLocked()
	}
	c.msgTurn.release()
	return err
}

// writeLate waits for its turn, without a deadline, on behalf of a ReadFrom
// that has returned. Close, if it comes, finds the chunk among what is pending.
func (c *Conn) writeLate(w *waiter, b *stream.Large, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w != nil && c.waitLocked(&c.msgTurn, w, &deadline{}, true) != nil {
		return
	}
	defer c.msgTurn.release()
	c.takeLocked(&c.wireTurn, &deadline{}, false)
	over := c.overLocked() != nil
	c.liftLocked()
	c.mu.Unlock()
	if over {
		c.appendKept(b, n)
	} else {
		c.writeKept(b, n)
	}
	c.mu.Lock()
	c.releaseWireLocked()
}

// writeKept writes a chunk of ReadFrom. The caller holds both turns.
func (c *Conn) writeKept(b *stream.Large, n int) error {
	if c.out.msg == msgFrames {
		return c.opError("write", errMessageOpen)
	}
	err := c.ready()
	if err == nil {
		return c.writeFilled(b, n, OpBinary, true)
	}
	if isTimeout(err) {
		c.appendKept(b, n)
	}
	return err
}

// appendKept puts a chunk of ReadFrom behind what is pending.
func (c *Conn) appendKept(b *stream.Large, n int) {
	if !c.out.closed {
		c.out.keep(c.fillHeader(b, n, OpBinary, true))
		c.out.noteFrame(true)
	}
	stream.PutLarge(b)
}

// writeFilled writes what fillHeader makes of b, and takes b over. A timeout
// can delay it, not take it back.
func (c *Conn) writeFilled(b *stream.Large, n int, op Opcode, fin bool) error {
	sent, err := c.writePiece(b, c.fillHeader(b, n, op, fin), true)
	if sent {
		c.out.noteFrame(fin)
	}
	return err
}

// fillHeader makes a frame of the n bytes that lie in b behind room for a
// header, masked by a client, and returns it.
func (c *Conn) fillHeader(b *stream.Large, n int, op Opcode, fin bool) []byte {
	h := c.nextHeader(op, fin, n)
	p := b[maxHeaderSize:][:n]
	if h.Masked {
		maskCopy(p, p, h.MaskKey)
	}
	var a [maxHeaderSize]byte
	hdr, _ := h.AppendBinary(a[:0]) // h is ours
	start := maxHeaderSize - len(hdr)
	copy(b[start:], hdr)
	return b[start : maxHeaderSize+n]
}
