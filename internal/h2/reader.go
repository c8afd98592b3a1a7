package h2

import (
	"bufio"
	"errors"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// inbound is the state of the goroutine that reads.
type inbound struct {
	r      *bufio.Reader
	framer *http2.Framer // on r
	dec    *hpack.Decoder
	block  block // the header that is coming in
}

// readLoop is the goroutine that reads. It waits for nobody but the server.
func (c *Conn) readLoop() {
	for {
		err := c.readFrame()
		if err == nil {
			continue
		}
		var se http2.StreamError
		var ce http2.ConnectionError
		switch {
		case errors.As(err, &se):
			// RFC 9113, 5.4.2: the stream is over, the connection is not.
			if err = c.resetBy(se.StreamID, se.Code, "malformed frame"); err == nil {
				continue
			}
		case errors.As(err, &ce):
			reason := "malformed frame"
			if d := c.in.framer.ErrorDetail(); d != nil {
				reason = d.Error()
			}
			err = connError(http2.ErrCode(ce), reason)
		case errors.Is(err, http2.ErrFrameTooLarge):
			err = connError(http2.ErrCodeFrameSize, "frame too large")
		}
		if _, ok := err.(*ConnError); ok {
			c.shut(err)
		} else {
			c.fail(eof(err))
		}
		return
	}
}

// readFrame reads a frame and acts on it.
func (c *Conn) readFrame() error {
	fh, err := c.in.framer.ReadFrameHeader()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.heard = true
	settled := c.settled
	c.mu.Unlock()
	// RFC 9113, 3.4: the server's preface is a SETTINGS frame "that MUST be the
	// first frame".
	if !settled && (fh.Type != http2.FrameSettings || fh.Flags.Has(http2.FlagSettingsAck)) {
		return connError(http2.ErrCodeProtocol, "the first frame is not SETTINGS")
	}
	if fh.Type == http2.FrameData {
		return c.readData(fh)
	}
	f, err := c.in.framer.ReadFrameForHeader(fh)
	if _, ok := err.(http2.StreamError); ok && fh.Type == http2.FrameHeaders {
		// 6.2, and 4.3: the block was not given to HPACK, whose state is lost.
		return connError(http2.ErrCodeProtocol, "malformed HEADERS")
	}
	if err != nil {
		return err
	}
	switch f := f.(type) {
	case *http2.HeadersFrame:
		return c.beginHeader(f)
	case *http2.ContinuationFrame:
		return c.continueHeader(f)
	case *http2.SettingsFrame:
		return c.readSettings(f)
	case *http2.WindowUpdateFrame:
		return c.readWindowUpdate(f)
	case *http2.RSTStreamFrame:
		return c.readReset(f)
	case *http2.GoAwayFrame:
		return c.readGoAway(f)
	case *http2.PingFrame:
		return c.readPing(f)
	case *http2.PushPromiseFrame:
		// 8.4: "A client that has set [SETTINGS_ENABLE_PUSH] to 0 MUST treat
		// the receipt of a PUSH_PROMISE frame as a connection error of type
		// PROTOCOL_ERROR".
		return connError(http2.ErrCodeProtocol, "PUSH_PROMISE")
	}
	// 5.5: "Implementations MUST ignore unknown or unsupported values";
	// PRIORITY means nothing any more.
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.chatterLocked()
}

// readData reads a DATA frame: into the stream, or away.
func (c *Conn) readData(fh http2.FrameHeader) error {
	if fh.StreamID == 0 {
		return connError(http2.ErrCodeProtocol, "DATA on stream 0")
	}
	left, pad := int(fh.Length), 0
	if fh.Flags.Has(http2.FlagDataPadded) {
		if left == 0 {
			return connError(http2.ErrCodeFrameSize, "DATA without its pad length")
		}
		b, err := c.in.r.ReadByte()
		if err != nil {
			return err
		}
		left--
		// 6.1: "If the length of the padding is the length of the frame
		// payload or greater, the recipient MUST treat this as a connection
		// error of type PROTOCOL_ERROR."
		if pad = int(b); pad > left {
			return connError(http2.ErrCodeProtocol, "DATA is all padding")
		}
		left -= pad
	}
	s, err := c.beginData(fh, int(fh.Length)-left)
	if err != nil {
		return err
	}
	for left > 0 {
		if _, err := c.in.r.Peek(1); err != nil {
			return err
		}
		b, _ := c.in.r.Peek(min(left, c.in.r.Buffered()))
		c.mu.Lock()
		c.heard = true
		if s != nil {
			s.putLocked(b)
		}
		c.mu.Unlock()
		c.in.r.Discard(len(b))
		left -= len(b)
	}
	if _, err := c.in.r.Discard(pad); err != nil {
		return err
	}
	if s != nil && fh.Flags.Has(http2.FlagDataEndStream) {
		c.mu.Lock()
		s.remoteEndLocked()
		c.mu.Unlock()
	}
	return nil
}

// beginData counts a DATA frame, of which overhead bytes are not payload,
// against the windows and returns its stream; nil if nobody wants it.
func (c *Conn) beginData(fh http2.FrameHeader, overhead int) (*Stream, error) {
	size := int64(fh.Length)
	c.mu.Lock()
	defer c.mu.Unlock()
	// Given back at once, so that no frame is ever too much for the window of
	// the connection: a stream that nobody reads has its own.
	c.unacked += size
	if c.unacked >= int64(c.cfg.connWindow())/4 {
		n := c.unacked
		c.unacked = 0
		c.control(func(fr *http2.Framer) { fr.WriteWindowUpdate(0, uint32(n)) })
	}
	s, err := c.knownLocked(fh.StreamID)
	if err != nil {
		return nil, err
	}
	end := fh.Flags.Has(http2.FlagDataEndStream)
	if int(size) == overhead && !end {
		if err := c.chatterLocked(); err != nil {
			return nil, err
		}
	}
	switch {
	case s == nil:
	case s.resp == nil:
		s.resetLocked(http2.ErrCodeProtocol, "DATA before the response")
		s = nil
	case s.remoteEnded:
		// 5.1: on a half-closed (remote) stream "it MUST respond with a stream
		// error of type STREAM_CLOSED".
		s.resetLocked(http2.ErrCodeStreamClosed, "DATA behind END_STREAM")
		s = nil
	case size > s.inWindow:
		s.resetLocked(http2.ErrCodeFlowControl, "more DATA than the window of the stream")
		s = nil
	default:
		s.inWindow -= size
		s.consumedLocked(overhead)
		if s.starved {
			s.lendLocked()
		}
	}
	return s, nil
}

// knownLocked returns the stream of a frame; nil if it is over.
func (c *Conn) knownLocked(id uint32) (*Stream, error) {
	s := c.streams[id]
	// 5.1: on an idle stream "receiving any frame other than HEADERS or
	// PRIORITY [...] MUST be treated as a connection error of type
	// PROTOCOL_ERROR"; a server does not open streams here.
	if s == nil && (id%2 == 0 || id >= c.nextID) {
		return nil, connError(http2.ErrCodeProtocol, "frame on an idle stream")
	}
	return s, nil
}

// resetBy resets a stream on which the peer broke the protocol.
func (c *Conn) resetBy(id uint32, code http2.ErrCode, reason string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.knownLocked(id)
	if err != nil {
		return err
	}
	if s == nil {
		return c.chatterLocked()
	}
	s.resetLocked(code, reason)
	return nil
}

func (c *Conn) readPing(f *http2.PingFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.chatterLocked(); err != nil || f.IsAck() {
		return err
	}
	if err := c.ackLocked(); err != nil {
		return err
	}
	data := f.Data
	c.control(func(fr *http2.Framer) { fr.WritePing(true, data) })
	return nil
}

func (c *Conn) readReset(f *http2.RSTStreamFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.knownLocked(f.StreamID)
	if err != nil {
		return err
	}
	if s == nil {
		return c.chatterLocked()
	}
	if f.ErrCode == http2.ErrCodeRefusedStream && s.resp == nil {
		s.overLocked(errUnused)
		return nil
	}
	s.overLocked(&StreamError{Code: f.ErrCode})
	return nil
}

func (c *Conn) readGoAway(f *http2.GoAwayFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	// 6.8: "Endpoints MUST NOT increase the value they send in the last stream
	// identifier".
	if c.lastID != 0 && f.LastStreamID > c.lastID-1 {
		return connError(http2.ErrCodeProtocol, "GOAWAY for more streams than before")
	}
	if err := c.chatterLocked(); err != nil {
		return err
	}
	c.lastID = f.LastStreamID + 1
	c.away = true
	if c.pool != nil {
		c.pool.forget(c)
	}
	for id, s := range c.streams {
		switch {
		case id <= f.LastStreamID:
		case s.resp == nil:
			s.overLocked(errUnused)
		default: // that cannot be, since the server has answered
			s.overLocked(&StreamError{Code: f.ErrCode, Reason: "GOAWAY"})
		}
	}
	if c.open == 0 {
		c.shutLocked(errIdle)
	}
	return nil
}
