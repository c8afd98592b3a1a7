package h2

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/bodokaiser/walve/internal/stream"
)

// frames returns the frames that write writes.
func frames(write func(fr *http2.Framer, block func(...string) []byte)) []byte {
	var b, h bytes.Buffer
	enc := hpack.NewEncoder(&h)
	write(http2.NewFramer(&b, nil), func(fields ...string) []byte {
		h.Reset()
		for i := 0; i < len(fields); i += 2 {
			enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		return h.Bytes()
	})
	return b.Bytes()
}

// FuzzServer has the fuzzer be the server.
func FuzzServer(f *testing.F) {
	f.Add(frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "200")})
		fr.WriteData(1, false, []byte("abc"))
		fr.WriteDataPadded(1, true, []byte("abc"), []byte{0, 0})
		fr.WriteGoAway(1, 0, nil)
	}))
	f.Add(frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":status", "103")})
		fr.WriteContinuation(1, true, block("a", "b"))
		fr.WriteWindowUpdate(0, 5)
		fr.WriteWindowUpdate(1, 5)
		fr.WriteSettings(http2.Setting{ID: 4, Val: 9}, http2.Setting{ID: 3, Val: 0}, http2.Setting{ID: 1, Val: 0})
		fr.WritePing(false, [8]byte{})
		fr.WriteRSTStream(1, 7)
	}))
	f.Fuzz(func(t *testing.T, input []byte) {
		s, c := begin(t, Config{Window: 2048})
		go func() {
			for s.next() != nil {
			}
		}()
		done := make(chan struct{})
		go func() {
			defer close(done)
			st, _, err := c.Open(t.Context(), request)
			if err != nil {
				return
			}
			go st.Write(make([]byte, 100000))
			b := make([]byte, 100)
			for {
				if _, err := st.Read(b); err != nil {
					st.Close()
					return
				}
			}
		}()
		s.c.Write(input)
		s.c.CloseWrite()
		<-done
		<-c.closed
		s.c.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.streams) > 0 || c.err == nil {
			t.Error("something is left")
		}
	})
}

// An outcome is what a client has seen of a server.
type outcome struct {
	streams [2]struct {
		resp string
		data []byte
		err  string
	}
	conn string
}

// see opens two streams and hands the server's input to the client: as a whole,
// or, if rnd is not nil, in random pieces with random Reads that time out in
// between. Nothing is written nor closed before all has come, which would make
// the outcome depend on who is first.
func see(t *testing.T, input []byte, rnd *rand.Rand) (o outcome) {
	pieces := [][]byte{input}
	if rnd != nil {
		pieces = nil
		for len(input) > 0 {
			n := min(len(input), 1+rnd.IntN(1<<rnd.IntN(10)))
			pieces = append(pieces, input[:n])
			input = input[n:]
		}
	}
	bubble(t, Config{Window: 1 << 20, PingInterval: -1, IdleTimeout: 1000 * time.Hour}, func(t *testing.T, s *rawServer, c *Conn) {
		var pending [len(o.streams)]<-chan opened
		for i := range pending {
			_, pending[i] = s.request(c)
		}
		go io.Copy(io.Discard, s.c)
		come := make(chan struct{})
		go func() {
			defer close(come)
			for i, p := range pieces {
				if i > 0 {
					time.Sleep(time.Second)
				}
				s.c.Write(p)
			}
			s.c.CloseWrite()
			<-c.closed
		}()
		for i, done := range pending {
			r := <-done
			if r.err != nil {
				o.streams[i].err = r.err.Error()
				continue
			}
			o.streams[i].resp = fmt.Sprint(r.resp.Status, r.resp.Header)
			var err error
			if o.streams[i].data, err = readAll(r.s, rnd); err != nil {
				o.streams[i].err = err.Error()
			}
		}
		<-come
		c.mu.Lock()
		defer c.mu.Unlock()
		o.conn = c.err.Error()
	})
	return o
}

// readAll reads s to its end, which is io.EOF too.
func readAll(s *Stream, rnd *rand.Rand) (data []byte, err error) {
	buf := make([]byte, 16<<10)
	for {
		if rnd == nil {
			n, err := s.Read(buf)
			data = append(data, buf[:n]...)
			if err != nil {
				return data, err
			}
			continue
		}
		s.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(1500)) * time.Millisecond))
		n, p := 0, buf
		if rnd.IntN(4) == 0 {
			var b *stream.Buffer
			if b, n, err = stream.ReadBuffer(s); n > 0 {
				p = b[:]
				defer stream.PutBuffer(b)
			}
		} else {
			n, err = s.Read(buf[:rnd.IntN(len(buf))])
		}
		data = append(data, p[:n]...)
		switch {
		case n > 0 && err != nil:
			return data, fmt.Errorf("%d bytes and %w", n, err)
		case err != nil && !isTimeout(err):
			return data, err
		case err != nil:
			time.Sleep(time.Millisecond)
		}
	}
}

// FuzzPieces: it makes no difference in which pieces a server's bytes come, nor
// how they are read.
func FuzzPieces(f *testing.F) {
	f.Add(frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "200", "a", "b")})
		fr.WriteData(1, false, payload(3000))
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block(":status", "403")})
		fr.WriteContinuation(3, true, block("a", "b"))
		fr.WriteDataPadded(3, false, payload(20), make([]byte, 10))
		fr.WriteDataPadded(1, true, payload(2), make([]byte, 200))
		fr.WriteRSTStream(3, http2.ErrCodeCancel)
	}), uint64(1))
	f.Add(frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "103")})
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "200")})
		fr.WriteSettings(http2.Setting{ID: 4, Val: 9})
		fr.WriteGoAway(1, http2.ErrCodeNo, []byte("bye"))
		fr.WritePing(false, [8]byte{})
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: block("a", "b")})
		fr.WriteData(1, false, []byte("late"))
	}), uint64(2))
	f.Add(frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "200")})
		fr.WriteData(1, false, payload(100))
		fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true, BlockFragment: block(":method", "GET")})
	}), uint64(3))
	f.Add(frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, EndHeaders: true, BlockFragment: block(":status", "200")})
		fr.WriteData(3, false, payload(100))
	})[:70], uint64(4)) // ends inside a frame
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		if len(input) > 1<<16 {
			t.Skip("it could be about the limits, which are per time")
		}
		whole := see(t, input, nil)
		cut := see(t, input, rand.New(rand.NewPCG(seed, seed)))
		for i, w := range whole.streams {
			c := cut.streams[i]
			if w.resp != c.resp || w.err != c.err || !bytes.Equal(w.data, c.data) {
				t.Errorf("stream %d: %s, %d bytes, %q as a whole, and %s, %d bytes, %q in pieces",
					2*i+1, w.resp, len(w.data), w.err, c.resp, len(c.data), c.err)
			}
		}
		if whole.conn != cut.conn {
			t.Errorf("the connection: %q as a whole and %q in pieces", whole.conn, cut.conn)
		}
	})
}
