package walve

import (
	"bufio"
	"io"
)

// FrameReader reads frames from a stream, as archive/tar reads files: Next
// goes to the next frame, and the FrameReader is then an [io.Reader] of its
// payload, which ends with the frame. No payload is ever held whole, and
// nothing is allocated by the length that a header declares.
//
// It takes no byte from the stream that is not the current frame's, so that
// the stream may be handed on after any frame. It therefore reads headers in
// two small reads: put a [bufio.Reader] below it for speed.
//
// An error of the stream loses nothing. If it was a temporary one, such as a
// timeout, the next call goes on at the same byte, inside a header too.
//
// It holds each header against RFC 6455 sections 5.2 and 5.5, on its own: what
// depends on the role of the peer, on extensions or on the frames before, and
// whether text is UTF-8, is not looked at.
//
// A FrameReader is not safe for concurrent use.
type FrameReader struct {
	r   io.Reader
	err error // a violation: where the next frame begins is not known, final

	// Of the frames before and the next header.
	skip int64 // payload bytes given up by Next and not yet read
	buf  [maxHeaderSize]byte
	n    int // bytes in buf

	// Of the current frame.
	remaining int64 // payload bytes not yet read
	masked    bool
	key       [4]byte          // for the next of them
	limited   io.LimitedReader // here so that WriteTo allocates nothing
}

// NewFrameReader returns a FrameReader that reads frames from r, which stands
// where a frame begins.
func NewFrameReader(r io.Reader) *FrameReader { return &FrameReader{r: r} }

// Next skips what was not read of the current frame and returns the header of
// the next one. Its payload comes unmasked from Read, whatever the header says.
//
// At the end of the stream Next returns io.EOF if that is between two frames,
// io.ErrUnexpectedEOF if it is inside one. For a header that RFC 6455 forbids
// it returns a [*ProtocolError] with [StatusProtocolError]: a reserved opcode,
// a control frame fragmented or of more than 125 bytes, a length with its most
// significant bit set or not in its shortest form. This is final: every later
// call returns it. Any other error is the stream's, as it is.
func (fr *FrameReader) Next() (Header, error) {
	if fr.err != nil {
		return Header{}, fr.err
	}
	fr.skip += fr.remaining
	fr.remaining = 0
	for fr.skip > 0 {
		n, err := fr.discard()
		fr.skip -= n
		if fr.skip > 0 && err != nil {
			return Header{}, unexpectedEOF(err)
		}
	}
	var rerr error
	for empty := 0; ; {
		h, n, err := parseHeader(fr.buf[:fr.n])
		if err != nil {
			fr.err = err
			return Header{}, err
		}
		if n > 0 {
			fr.n = 0
			fr.remaining, fr.masked, fr.key = h.Length, h.Masked, h.MaskKey
			return h, nil // and should there be rerr, the stream will say it again
		}
		if rerr != nil {
			if fr.n > 0 {
				rerr = unexpectedEOF(rerr)
			}
			return Header{}, rerr
		}
		size := 2
		if fr.n >= 2 {
			size = headerSize(fr.buf[1])
		}
		n, rerr = fr.r.Read(fr.buf[fr.n:size])
		fr.n += n
		if n > 0 {
			empty = 0
		} else if empty++; empty == maxEmptyReads && rerr == nil {
			rerr = io.ErrNoProgress
		}
	}
}

// maxEmptyReads is how many reads in a row may bring neither bytes nor an
// error, as in package bufio.
const maxEmptyReads = 100

// discard reads some of the bytes that are to be skipped.
func (fr *FrameReader) discard() (int64, error) {
	if br, ok := fr.r.(*bufio.Reader); ok {
		n, err := br.Discard(int(min(fr.skip, 1<<30))) // without a copy
		return int64(n), err
	}
	fr.limited = io.LimitedReader{R: fr.r, N: fr.skip}
	n, err := io.Copy(io.Discard, &fr.limited)
	if err == nil && n < fr.skip {
		err = io.EOF
	}
	return n, err
}

// Read reads payload of the current frame and unmasks it. It returns io.EOF at
// the end of the frame, and where there is none: before the first Next and
// after one that failed. If the stream ends inside the frame, it returns
// io.ErrUnexpectedEOF.
func (fr *FrameReader) Read(p []byte) (int, error) {
	if fr.err != nil {
		return 0, fr.err
	}
	if fr.remaining == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > fr.remaining {
		p = p[:fr.remaining]
	}
	n, err := fr.r.Read(p)
	if fr.masked {
		fr.key = maskCopy(p[:n], p[:n], fr.key)
	}
	fr.remaining -= int64(n)
	if err == io.EOF {
		if fr.remaining > 0 {
			return n, io.ErrUnexpectedEOF
		}
		err = nil // the frame is complete; Next is going to see it
	}
	return n, err
}

// WriteTo writes the rest of the current frame's payload to w. It implements
// [io.WriterTo], for [io.Copy].
//
// If the frame is not masked and w is an [io.ReaderFrom], w takes the payload
// from the stream itself, through an [io.LimitedReader]: between two sockets,
// or a socket and a file, the kernel moves the bytes if it can.
//
// If the stream fails, the next call goes on, as with Read. If w fails, what
// was read from the stream and not written is lost, as with every io.Copy.
// How much was read is not known where the kernel moves the bytes: the
// FrameReader is of no use then.
func (fr *FrameReader) WriteTo(w io.Writer) (int64, error) {
	if fr.err != nil {
		return 0, fr.err
	}
	if fr.remaining == 0 {
		return 0, nil
	}
	if rf, ok := w.(io.ReaderFrom); ok && !fr.masked {
		fr.limited = io.LimitedReader{R: fr.r, N: fr.remaining}
		n, err := rf.ReadFrom(&fr.limited)
		fr.remaining = max(fr.limited.N, 0)
		if err == nil && fr.remaining > 0 {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
	b := getFrameBuffer(frameBufferSize)
	defer putFrameBuffer(b)
	var written int64
	for {
		n, err := fr.Read(*b)
		if n > 0 {
			m, werr := writeFull(w, (*b)[:n])
			written += int64(m)
			if werr != nil {
				return written, werr
			}
		}
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// unexpectedEOF returns err as it is inside a frame.
func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
