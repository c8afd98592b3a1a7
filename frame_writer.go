package walve

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// FrameWriter writes frames to a stream, as archive/tar writes files:
// WriteHeader begins a frame, and the FrameWriter is then an [io.Writer] of its
// payload, exactly as long as the header said.
//
// It refuses headers that RFC 6455 sections 5.2 and 5.5 forbid, on their own,
// and writes all others, masked or not: what depends on the role, on
// extensions or on the frames before is the caller's.
//
// An error of the stream loses nothing: the FrameWriter stands where the
// stream does, and if the error was a temporary one, such as a timeout, Write
// goes on at the same byte, with what is left of the header first.
//
// A FrameWriter is not safe for concurrent use.
type FrameWriter struct {
	w io.Writer

	// Of the current frame.
	header    []byte // the bytes of it not yet written, within buf
	remaining int64  // payload bytes not yet written
	masked    bool
	key       [4]byte // for the next of them

	buf     [maxHeaderSize]byte
	limited io.LimitedReader // here so that ReadFrom allocates nothing
}

// NewFrameWriter returns a FrameWriter that writes frames to w.
func NewFrameWriter(w io.Writer) *FrameWriter { return &FrameWriter{w: w} }

// WriteHeader begins a frame: it writes h at once, in one Write, and h.Length
// bytes of payload are due then. If h.Masked they are masked with h.MaskKey on
// their way; a client takes a fresh key from crypto/rand for every frame, RFC
// 6455 section 5.3.
//
// Nothing is written, and the current frame goes on, if there is payload due
// to it or if h is one that [Header.AppendBinary] refuses. If the stream fails
// before the first byte of h, there is no frame, and WriteHeader may be called
// again; later the frame has begun, and the next Write, of no bytes if none
// are due, writes the rest of h first.
func (fw *FrameWriter) WriteHeader(h Header) error {
	if err := fw.finished(); err != nil {
		return err
	}
	b, err := h.AppendBinary(fw.buf[:0])
	if err != nil {
		return err
	}
	n, err := writeFull(fw.w, b)
	if n > 0 {
		fw.begin(h, b[n:])
	}
	return err
}

// Write writes payload of the current frame. p is neither changed nor kept: it
// is masked, if it must be, into a buffer of at most 32 KiB at a time. Unmasked
// it goes to the stream in one Write.
//
// Of what goes beyond the frame's length nothing is written: Write returns
// [ErrWriteTooLong] with the number of bytes that were not too many. Without a
// frame all are. n counts the bytes of p that the stream took, also if it took
// fewer and failed; going on with p[n:] is then right.
func (fw *FrameWriter) Write(p []byte) (n int, err error) {
	if err := fw.flushHeader(); err != nil {
		return 0, err
	}
	var tooLong error
	if int64(len(p)) > fw.remaining {
		p, tooLong = p[:fw.remaining], ErrWriteTooLong
	}
	if len(p) == 0 {
		return 0, tooLong
	}
	if !fw.masked {
		n, err = writeFull(fw.w, p)
		fw.advance(n)
	} else {
		n, err = fw.writeMasked(p)
	}
	if err == nil {
		err = tooLong
	}
	return n, err
}

func (fw *FrameWriter) writeMasked(p []byte) (n int, err error) {
	b := getFrameBuffer(min(len(p), frameBufferSize))
	defer putFrameBuffer(b)
	for n < len(p) && err == nil {
		piece := (*b)[:min(len(p)-n, frameBufferSize)]
		maskCopy(piece, p[n:n+len(piece)], fw.key)
		var m int
		m, err = writeFull(fw.w, piece)
		fw.advance(m)
		n += m
	}
	return n, err
}

// ReadFrom writes payload of the current frame that it reads from r, until the
// frame has all its length or r ends; in the latter case the rest is still
// due. It reads nothing from r that the frame does not take, and so does not
// find out whether there is more: compare n. Only for an [*io.LimitedReader]
// that would go on it returns [ErrWriteTooLong], once the frame is complete.
// It implements [io.ReaderFrom], for [io.Copy].
//
// If the frame is not masked and the stream is an [io.ReaderFrom], it takes
// the bytes from r itself, through an io.LimitedReader: from a file or a socket
// to a socket the kernel moves them if it can.
//
// n counts the bytes that the stream took. If it fails, those read from r and
// not written are lost, as with every io.Copy.
func (fw *FrameWriter) ReadFrom(r io.Reader) (n int64, err error) {
	if err := fw.flushHeader(); err != nil {
		return 0, err
	}
	// The kernel's ways are open to the reader within a LimitedReader, not to
	// one within two.
	outer, ok := r.(*io.LimitedReader)
	limit := fw.remaining
	if ok {
		r, limit = outer.R, min(limit, max(outer.N, 0))
	}
	fw.limited = io.LimitedReader{R: r, N: limit}
	if rf, ok := fw.w.(io.ReaderFrom); ok && !fw.masked && limit > 0 {
		n, err = rf.ReadFrom(&fw.limited)
		if n < 0 || n > limit {
			n, err = 0, errInvalidWrite
		}
		fw.remaining -= n
	} else if limit > 0 {
		n, err = fw.copyFrom(&fw.limited)
	}
	if ok {
		outer.N -= limit - fw.limited.N
		if err == nil && fw.remaining == 0 && outer.N > 0 {
			err = ErrWriteTooLong
		}
	}
	fw.limited.R = nil // r is the caller's
	return n, err
}

func (fw *FrameWriter) copyFrom(r *io.LimitedReader) (n int64, err error) {
	b := getFrameBuffer(frameBufferSize)
	defer putFrameBuffer(b)
	for r.N > 0 {
		read, rerr := r.Read((*b)[:frameBufferSize])
		if read > 0 {
			piece := (*b)[:read]
			if fw.masked {
				maskCopy(piece, piece, fw.key)
			}
			m, err := writeFull(fw.w, piece)
			fw.advance(m)
			n += int64(m)
			if err != nil {
				return n, err
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
	return n, nil
}

// WriteFrame writes a whole frame in exactly one Write of the stream. Its
// length is len(payload), whatever h.Length says; payload is neither changed
// nor kept, but copied: into a buffer used again up to 256 KiB, a new one
// beyond.
//
// Nothing is written in the cases WriteHeader names. If the stream fails
// before the first byte, WriteFrame may be called again; if it fails later the
// frame has begun, stands where the stream does, and holds up every other:
// where that is not to be the end, use WriteHeader and Write, which tells how
// far it came.
func (fw *FrameWriter) WriteFrame(h Header, payload []byte) error {
	if err := fw.finished(); err != nil {
		return err
	}
	h.Length = int64(len(payload))
	// Header and payload are copied into one buffer, masked or not: an
	// io.Writer has no gathering write.
	b := getFrameBuffer(maxHeaderSize + len(payload))
	defer putFrameBuffer(b)
	frame, err := h.AppendBinary((*b)[:0])
	if err != nil {
		return err
	}
	size := len(frame)
	frame = frame[:size+len(payload)]
	if h.Masked {
		maskCopy(frame[size:], payload, h.MaskKey)
	} else {
		copy(frame[size:], payload)
	}
	n, err := writeFull(fw.w, frame)
	if n > 0 && n < len(frame) {
		written := min(n, size)
		fw.begin(h, fw.buf[:copy(fw.buf[:], frame[written:size])])
		fw.advance(n - written)
	}
	return err
}

// begin makes h, of which header is not yet written, the current frame's.
func (fw *FrameWriter) begin(h Header, header []byte) {
	fw.header = header
	fw.remaining, fw.masked, fw.key = h.Length, h.Masked, h.MaskKey
}

// advance counts n bytes of payload as written.
func (fw *FrameWriter) advance(n int) {
	fw.remaining -= int64(n)
	fw.key = rotateKey(fw.key, n)
}

// finished returns an error if something of the current frame is due.
func (fw *FrameWriter) finished() error {
	if len(fw.header) > 0 || fw.remaining > 0 {
		return fmt.Errorf("websocket: unfinished frame: %d bytes of header and %d of payload are due", len(fw.header), fw.remaining)
	}
	return nil
}

func (fw *FrameWriter) flushHeader() error {
	if len(fw.header) == 0 {
		return nil
	}
	n, err := writeFull(fw.w, fw.header)
	fw.header = fw.header[n:]
	return err
}

var errInvalidWrite = errors.New("websocket: writer returned an impossible count")

// writeFull is one Write of p to w. Less than all of it is an error, whether w
// says so or not.
func writeFull(w io.Writer, p []byte) (int, error) {
	n, err := w.Write(p)
	if n < 0 || n > len(p) {
		return 0, errInvalidWrite
	}
	if n < len(p) && err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}

const (
	// frameBufferSize is how much is masked and copied at a time: within a
	// first-level cache, and few Writes.
	frameBufferSize = 32 << 10
	// maxPooledFrame is the largest buffer kept for the next frame; for a
	// larger one WriteFrame allocates.
	maxPooledFrame = 256<<10 + maxHeaderSize
)

var framePool = sync.Pool{New: func() any {
	b := make([]byte, frameBufferSize+maxHeaderSize)
	return &b
}}

// getFrameBuffer returns a buffer of at least n bytes, for putFrameBuffer.
func getFrameBuffer(n int) *[]byte {
	if n > maxPooledFrame {
		b := make([]byte, n)
		return &b
	}
	b := framePool.Get().(*[]byte)
	if len(*b) < n {
		*b = make([]byte, n)
	}
	return b
}

func putFrameBuffer(b *[]byte) {
	if len(*b) <= maxPooledFrame {
		framePool.Put(b)
	}
}
