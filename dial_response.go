package walve

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxResponseHeader bounds the response up to the end of its header,
	// interim responses included.
	maxResponseHeader = 1 << 20
	// keptBody is how much of a refusal's body a HandshakeError has.
	keptBody = 1 << 10
	// bodyTimeout bounds the wait for it.
	bodyTimeout = time.Second
)

// A responseReader reads the response to a handshake, or to a CONNECT, and
// keeps what comes behind.
type responseReader struct {
	conn net.Conn
	left int   // that may still be read
	err  error // of conn
	buf  *bufio.Reader
}

var responseBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}

func newResponseReader(conn net.Conn) *responseReader {
	r := &responseReader{conn: conn, left: maxResponseHeader}
	r.buf = responseBuffers.Get().(*bufio.Reader)
	r.buf.Reset(r)
	return r
}

// release ends the use of r and of what buffered returned.
func (r *responseReader) release() {
	r.buf.Reset(nil)
	responseBuffers.Put(r.buf)
	r.buf = nil
}

var errResponseTooLong = errors.New("the header is longer than 1 MiB")

// Read is for buf.
func (r *responseReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, errResponseTooLong
	}
	n, err := r.conn.Read(p[:min(len(p), r.left)])
	r.left -= n
	if err != nil {
		r.err = err
	}
	return n, err
}

// buffered returns what came behind the response.
func (r *responseReader) buffered() []byte {
	b, _ := r.buf.Peek(r.buf.Buffered())
	return b
}

// read reads the response to req. Interim responses are skipped, but for 101,
// which is none.
func (r *responseReader) read(req *http.Request) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r.buf, req)
		switch {
		case err == nil:
			if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
				continue
			}
			return resp, nil
		case r.err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case r.err != nil:
			return nil, r.err
		case r.left == 0:
			err = errResponseTooLong
		}
		return nil, &HandshakeError{Reason: "the answer is not HTTP", Err: err}
	}
}

// keepBody replaces resp.Body by its first KiB, or by what of it comes before
// long. The connection is of no use after that.
func (r *responseReader) keepBody(resp *http.Response) {
	r.left = 64 * keptBody // chunks have headers
	r.conn.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer time.AfterFunc(bodyTimeout, func() { r.conn.Close() }).Stop() // not every net.Conn has deadlines
	body, _ := io.ReadAll(io.LimitReader(resp.Body, keptBody))
	resp.Body = io.NopCloser(bytes.NewReader(body))
}
