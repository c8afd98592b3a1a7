package h2

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/bodokaiser/walve/internal/memconn"
)

// A rawServer is the other end of a Conn, frame by frame.
type rawServer struct {
	t   testing.TB
	c   *memconn.Conn
	fr  *http2.Framer
	enc *hpack.Encoder
	buf bytes.Buffer
}

var rfc8441 = http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}

// newRaw returns a rawServer and what New returns, which waits for SETTINGS.
func newRaw(t testing.TB, cfg Config) (*rawServer, <-chan dialed) {
	a, b := memconn.Pipe(memconn.Buffer(1 << 20))
	s := &rawServer{t: t, c: b, fr: http2.NewFramer(b, b)}
	s.enc = hpack.NewEncoder(&s.buf)
	done := make(chan dialed, 1)
	go func() {
		c, err := New(context.Background(), a, cfg)
		done <- dialed{c, err}
	}()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(b, preface); err != nil || string(preface) != http2.ClientPreface {
		t.Fatalf("preface: %q, %v", preface, err)
	}
	if _, ok := s.next().(*http2.SettingsFrame); !ok {
		t.Fatal("the client's first frame is not SETTINGS")
	}
	return s, done
}

// TestPrefaceFirst: what answers frames that come early does not overtake the
// preface.
func TestPrefaceFirst(t *testing.T) {
	a, _ := memconn.Pipe()
	defer a.Close()
	c := newConn(a, Config{PingInterval: -1})
	defer c.fail(net.ErrClosed)
	c.mu.Lock()
	c.control(func(fr *http2.Framer) { fr.WritePing(true, [8]byte{}) })
	first := string(c.ctl[:len(http2.ClientPreface)])
	c.mu.Unlock()
	if first != http2.ClientPreface {
		t.Errorf("%q", first)
	}
}

type dialed struct {
	c   *Conn
	err error
}

// begin is newRaw with SETTINGS.
func begin(t testing.TB, cfg Config, settings ...http2.Setting) (*rawServer, *Conn) {
	s, done := newRaw(t, cfg)
	s.fr.WriteSettings(append(settings, rfc8441)...)
	d := <-done
	if d.err != nil {
		t.Fatal(d.err)
	}
	return s, d.c
}

// next returns the next frame that is not an acknowledgment or for the window
// of the connection; nil at the end.
func (s *rawServer) next() http2.Frame {
	for {
		f, err := s.fr.ReadFrame()
		if err != nil {
			return nil
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				continue
			}
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				continue
			}
		}
		return f
	}
}

// goAway reads until GOAWAY and returns its code.
func (s *rawServer) goAway() http2.ErrCode {
	s.t.Helper()
	for f := s.next(); f != nil; f = s.next() {
		if g, ok := f.(*http2.GoAwayFrame); ok {
			return g.ErrCode
		}
	}
	s.t.Error("no GOAWAY")
	return 0
}

// reset reads until RST_STREAM and returns its code.
func (s *rawServer) reset() http2.ErrCode {
	s.t.Helper()
	for f := s.next(); f != nil; f = s.next() {
		if g, ok := f.(*http2.RSTStreamFrame); ok {
			return g.ErrCode
		}
	}
	s.t.Error("no RST_STREAM")
	return 0
}

func (s *rawServer) block(fields ...string) []byte {
	s.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		s.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return s.buf.Bytes()
}

func (s *rawServer) headers(id uint32, end bool, fields ...string) {
	s.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, EndHeaders: true, EndStream: end, BlockFragment: s.block(fields...),
	})
}

var request = &Request{Scheme: "https", Authority: "host", Path: "/x?y", Header: http.Header{"Origin": {"o"}}}

type opened struct {
	s    *Stream
	resp *Response
	err  error
}

func (s *rawServer) request(c *Conn) (uint32, <-chan opened) {
	s.t.Helper()
	done := make(chan opened, 1)
	go func() {
		var o opened
		o.s, o.resp, o.err = c.Open(context.Background(), request)
		done <- o
	}()
	for f := s.next(); f != nil; f = s.next() {
		if h, ok := f.(*http2.HeadersFrame); ok {
			return h.StreamID, done
		}
	}
	s.t.Fatal("no HEADERS")
	return 0, nil
}

// open opens a stream and accepts it.
func (s *rawServer) open(c *Conn) (uint32, *Stream) {
	s.t.Helper()
	id, done := s.request(c)
	s.headers(id, false, ":status", "200")
	o := <-done
	if o.err != nil || o.resp.Status != 200 {
		s.t.Fatal(o.resp, o.err)
	}
	return id, o.s
}

// bubble runs f in a synctest bubble and ends c's connection there.
func bubble(t *testing.T, cfg Config, f func(t *testing.T, s *rawServer, c *Conn), settings ...http2.Setting) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, c := begin(t, cfg, settings...)
		defer synctest.Wait()
		defer s.c.Close()
		defer c.fail(net.ErrClosed)
		f(t, s, c)
	})
}

func TestRequest(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		go c.Open(context.Background(), request)
		h := s.next().(*http2.HeadersFrame)
		if h.StreamID != 1 || h.StreamEnded() {
			t.Error(h)
		}
		got := map[string]string{}
		fields, err := hpack.NewDecoder(4096, nil).DecodeFull(h.HeaderBlockFragment())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fields {
			got[f.Name] = f.Value
		}
		for name, want := range map[string]string{
			":method": "CONNECT", ":protocol": "websocket", ":scheme": "https",
			":authority": "host", ":path": "/x?y", "origin": "o",
		} {
			if got[name] != want {
				t.Errorf("%s: %q, want %q", name, got[name], want)
			}
		}
	})
}

// TestRefusal: the body of a refusal can be read.
func TestRefusal(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		id, done := s.request(c)
		s.headers(id, false, ":status", "103", "link", "x")
		s.headers(id, false, ":status", "403", "a", "b", "a", "c")
		s.fr.WriteData(id, true, []byte("no"))
		o := <-done
		if o.err != nil || o.resp.Status != 403 || len(o.resp.Header["A"]) != 2 {
			t.Fatal(o.resp, o.err)
		}
		if b, err := io.ReadAll(o.s); string(b) != "no" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		if err := o.s.Close(); err != nil {
			t.Error(err)
		}
		if err := o.s.Close(); err == nil {
			t.Error("second Close succeeded")
		}
	})
}

// TestEnds: END_STREAM, RST_STREAM and the end of the connection, as they show.
func TestEnds(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		id, st := s.open(c)
		s.fr.WriteData(id, true, []byte("x"))
		s.fr.WriteRSTStream(id, http2.ErrCodeNo) // the rest of the request is not wanted
		synctest.Wait()
		if b, err := io.ReadAll(st); string(b) != "x" || err != nil {
			t.Errorf("END_STREAM and RST_STREAM(NO_ERROR): %q, %v", b, err)
		}
		st.Abort()

		id, st = s.open(c)
		s.fr.WriteData(id, false, []byte("y"))
		s.fr.WriteRSTStream(id, http2.ErrCodeCancel)
		synctest.Wait()
		b, err := io.ReadAll(st)
		if string(b) != "y" || !isReset(err) {
			t.Errorf("RST_STREAM: %q, %v", b, err)
		}
		if _, err := st.Write([]byte("x")); !isReset(err) {
			t.Errorf("Write after RST_STREAM: %v", err)
		}

		id, st = s.open(c)
		st.Write([]byte("z"))
		if err := st.CloseWrite(); err != nil {
			t.Error(err)
		}
		if _, err := st.Write([]byte("x")); !isClosed(err) {
			t.Errorf("Write after CloseWrite: %v", err)
		}
		d := s.next().(*http2.DataFrame)
		if string(d.Data()) != "z" {
			t.Error(d)
		}
		if d, ok := s.next().(*http2.DataFrame); !ok || !d.StreamEnded() || d.StreamID != id {
			t.Error("no END_STREAM")
		}
		st.Abort()
		if code := s.reset(); code != http2.ErrCodeCancel {
			t.Error(code)
		}
		if _, err := st.Read(make([]byte, 1)); !isClosed(err) {
			t.Errorf("Read after Abort: %v", err)
		}

		_, st = s.open(c)
		s.c.Close()
		_, err = st.Read(make([]byte, 1))
		if oe, ok := err.(*net.OpError); !ok || oe.Err != io.ErrUnexpectedEOF {
			t.Errorf("end of the connection: %v", err)
		}
	})
}

// TestIdle: a connection lives for 30 s after its last stream.
func TestIdle(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		id, st := s.open(c)
		time.Sleep(time.Minute) // sends a PING
		if _, ok := s.next().(*http2.PingFrame); !ok {
			t.Fatal("no PING")
		}
		s.fr.WritePing(true, [8]byte{})
		time.Sleep(time.Second)
		st.CloseWrite()
		s.fr.WriteData(id, true, nil)
		time.Sleep(29 * time.Second)
		_, st = s.open(c)
		st.Abort()
		time.Sleep(29 * time.Second)
		synctest.Wait()
		select {
		case <-c.closed:
			t.Fatal("closed too early")
		default:
		}
		time.Sleep(2 * time.Second)
		<-c.closed
		if code := s.goAway(); code != http2.ErrCodeNo {
			t.Error(code)
		}
	})
}

// TestPing: a server that answers no PING is given up.
func TestPing(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		_, st := s.open(c)
		begun := time.Now()
		_, err := st.Read(make([]byte, 1))
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() || ne.(*net.OpError).Temporary() {
			t.Errorf("%v", err)
		}
		if d := time.Since(begun); d > 76*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// TestHeardInsidePayload: a frame that comes in slowly is no silence.
func TestHeardInsidePayload(t *testing.T) {
	bubble(t, Config{PingInterval: 10 * time.Second, PingTimeout: 5 * time.Second}, func(t *testing.T, s *rawServer, c *Conn) {
		id, st := s.open(c)
		defer time.Sleep(2 * time.Second) // the goroutine ends
		defer s.c.Close()
		go func() { // one DATA frame of 100 bytes, one byte a second
			s.c.Write([]byte{0, 0, 100, 0, 0, 0, 0, 0, byte(id)})
			for range 100 {
				time.Sleep(time.Second)
				if _, err := s.c.Write([]byte{'x'}); err != nil {
					return
				}
			}
		}()
		if n, err := io.ReadFull(st, make([]byte, 100)); err != nil {
			t.Errorf("after %d bytes: %v", n, err)
		}
	})
}
