package walve

import (
	"errors"
	"net"
	"time"

	"github.com/bodokaiser/walve/internal/stream"
)

const (
	// closeWait bounds what Close waits for a peer that takes nothing.
	closeWait = time.Second
	// lingerTime bounds the closing handshake in the background.
	lingerTime = 5 * time.Second
)

var longAgo = time.Unix(1, 0)

// Close closes the connection with status 1000 (RFC 6455, 7). Reads and writes
// in progress fail with net.ErrClosed at once.
//
// Close returns when what Write accepted and the Close frame are with the
// system, or after one second if the peer does not take them. The rest of the
// closing handshake, which is to wait for the peer's Close frame so that data
// on its way is not lost to a reset, goes on in the background for at most five
// seconds. A program about to exit calls CloseWrite first and reads to io.EOF.
//
// A second Close returns net.ErrClosed.
func (c *Conn) Close() error { return c.close(StatusNormalClosure, "") }

// CloseWithStatus is Close with the given status and reason. It fails, with
// nothing sent and the Conn unchanged, if code may not be sent (RFC 6455, 7.4:
// 1000 to 1003, 1007 to 1014 and 3000 to 4999 may) or if reason is longer than
// 123 bytes or not UTF-8.
func (c *Conn) CloseWithStatus(code StatusCode, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return c.opError("close", err)
	}
	return c.close(code, reason)
}

func (c *Conn) close(code StatusCode, reason string) error {
	if c.hs.release != nil {
		defer c.hs.release(time.Now().Add(closeWait))
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	failed := c.failed != nil
	if !failed {
		c.s.SetReadDeadline(longAgo)
		if c.wireTurn.held() {
			c.s.SetWriteDeadline(longAgo)
		}
	}
	c.wakeLocked()
	if !c.ended {
		c.ended = true
		c.pushLocked(newCloseFrame(code, reason))
	}
	c.mu.Unlock()
	if c.hs.onClose != nil {
		defer c.hs.onClose(c)
	}
	if failed {
		return nil // fail has released everything
	}
	until := time.Now().Add(lingerTime)
	written := make(chan bool, 1)
	go func() {
		// Reading goes on meanwhile: the peer may write as much as we do.
		if _, ok := c.s.(stream.Flusher); ok {
			// Over TLS, Close waits as well, with a dead peer.
			c.drain(until.Add(-closeWait))
			defer time.AfterFunc(time.Until(until), c.s.Abort).Stop()
		} else {
			c.drain(until)
		}
		if <-written {
			c.s.Close()
		} else {
			c.s.Abort() // the tail never got out: the peer must see no clean end
		}
	}()
	if c.finishWriting(time.Now().Add(closeWait)) {
		written <- true
	} else {
		go func() { written <- c.finishWriting(until) }()
	}
	return nil
}

// finishWriting sends what is left, the Close frame last, and reports whether
// that is done, or cannot be because the peer is gone.
func (c *Conn) finishWriting(until time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.takeLocked(&c.wireTurn, &until, false) != nil {
		return false
	}
	defer c.wireTurn.release()
	c.s.SetWriteDeadline(until)
	c.mu.Unlock()
	err := c.flush()
	if f, ok := c.s.(stream.Flusher); ok && err == nil {
		err = f.Flush()
	}
	c.mu.Lock()
	return err == nil || !isTimeout(err)
}

// drain reads until the peer's Close frame and, where the peer is to end the
// TCP connection, until it does: closing with input unread would reset the
// connection and could take from the peer what was written last.
func (c *Conn) drain(until time.Time) {
	c.mu.Lock()
	err := c.takeLocked(&c.readTurn, &until, false)
	c.mu.Unlock()
	if err != nil {
		return
	}
	c.in.half = false // nobody is left to hear what came behind the peer's half-close
	c.s.SetReadDeadline(until)
	for !c.drained() {
		if _, err := c.skim(c.consume); err != nil {
			return
		}
	}
}

// drained reports whether there is nothing more to wait for. A client waits
// for the end of the stream itself (RFC 6455, 7.1.1), and so does a server
// that has failed the connection: what is in its way is no longer looked at.
func (c *Conn) drained() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peerDone && !c.hs.client && !c.halfClosed
}

// CloseWrite ends this side's writing with a Close frame of status 1000; Read
// goes on until the peer's. If a write deadline has cut a message, an empty
// last frame ends it first.
//
// Between two walve ends this is TCP's half-close: the peer's Read returns
// io.EOF and it may write on until it closes too. A foreign peer answers the
// Close frame at once, as RFC 6455, 5.5.1, asks, and what it sent before is
// still read.
//
// CloseWrite waits for a Write in progress, up to the write deadline; what it
// sends itself the deadline does not take back. While a writer of NextWriter is
// open, or a message begun with it lacks its last frame, CloseWrite fails. A
// second call does nothing.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	framing := c.framing
	c.mu.Unlock()
	if framing {
		return c.opError("close", errMessageOpen)
	}
	if err := c.beginWrite(); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if errors.Is(c.writeErr, net.ErrClosed) && c.overLocked() == nil {
			return nil // a Close frame has been sent
		}
		return c.opError("close", err)
	}
	defer c.endWrite()
	if c.out.msg == msgFrames {
		return c.opError("close", errMessageOpen)
	}
	if c.out.msg == msgStream {
		c.appendKept(newUnit(smallUnit), 0)
	}
	c.mu.Lock()
	if !c.ended {
		c.ended = true
		c.rareLocked().writeErr = c.opError("write", net.ErrClosed)
		c.pushLocked(newCloseFrame(StatusNormalClosure, ""))
	}
	c.mu.Unlock()
	if err := c.flush(); err != nil && !isTimeout(err) {
		return c.opError("close", c.writeError(err))
	}
	return nil
}

// CloseStatus returns the status and reason of the peer's Close frame. Before
// one was read ok is false. The status is StatusNoStatusReceived if the frame
// had none.
func (c *Conn) CloseStatus() (code StatusCode, reason string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status, c.reason, c.peerDone
}
