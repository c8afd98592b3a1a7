package h2

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// TestStalledStream: a stream that is not read, or has no window, holds up
// neither the others nor the reader.
func TestStalledStream(t *testing.T) {
	bubble(t, Config{Window: 64 << 10}, func(t *testing.T, s *rawServer, c *Conn) {
		unread, st := s.open(c)
		id, other := s.open(c)
		for range 4 {
			s.fr.WriteData(unread, false, make([]byte, 16<<10)) // all of its window
		}
		blocked := make(chan struct{})
		go func() {
			st.Write(make([]byte, 1<<20))
			close(blocked)
		}()
		s.fr.WriteWindowUpdate(id, 1<<20)
		s.fr.WriteWindowUpdate(0, 1<<20)
		done := make(chan []byte)
		go func() {
			var b []byte
			for len(b) < 1<<20 {
				if d, ok := s.next().(*http2.DataFrame); ok && d.StreamID == id {
					b = append(b, d.Data()...)
				}
			}
			done <- b
		}()
		want := payload(1 << 20)
		if n, err := other.Write(want); n != len(want) || err != nil {
			t.Fatal(n, err)
		}
		if !bytes.Equal(<-done, want) {
			t.Error("the server got something else")
		}
		s.fr.WriteData(id, false, []byte("x"))
		if n, err := other.Read(make([]byte, 9)); n != 1 || err != nil {
			t.Error(n, err)
		}
		st.Abort()
		<-blocked
	})
}

// TestTurns: streams that wait for the window of the connection get it one
// after another.
func TestTurns(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		const streams = 4
		_, hog := s.open(c)
		if n, err := hog.Write(make([]byte, minWindow)); n != minWindow || err != nil {
			t.Fatal(n, err)
		}
		for left := minWindow; left > 0; {
			if d, ok := s.next().(*http2.DataFrame); ok {
				left -= len(d.Data())
			}
		}
		for range streams {
			_, st := s.open(c)
			go st.Write(make([]byte, 1<<20))
		}
		synctest.Wait()
		got := map[uint32]int{}
		for range 10 * streams {
			s.fr.WriteWindowUpdate(0, maxWriteFrame)
			synctest.Wait()
			for left := maxWriteFrame; left > 0; {
				d := s.next().(*http2.DataFrame)
				got[d.StreamID] += len(d.Data())
				left -= len(d.Data())
			}
		}
		for id, n := range got {
			if n != 10*maxWriteFrame {
				t.Errorf("stream %d has sent %d bytes, want %d", id, n, 10*maxWriteFrame)
			}
		}
		if len(got) != streams {
			t.Error(got)
		}
		c.mu.Lock()
		all := len(c.streams)
		c.mu.Unlock()
		if all != streams+1 {
			t.Error(all)
		}
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
}

// TestWaiters: streams that wait go on in turn, whichever stops waiting.
func TestWaiters(t *testing.T) {
	const n = 4
	for gone := range n {
		var w waiters
		var s [n]Stream
		for i := range s {
			w.push(&s[i])
			w.push(&s[i]) // once is enough
		}
		w.remove(&s[gone])
		w.remove(&s[gone])
		w.push(&s[gone])
		for i := range n + 1 {
			switch {
			case i == n:
				i = gone
			case i == gone:
				continue
			}
			if w.first != &s[i] {
				t.Fatalf("without %d: another than %d is the first", gone, i)
			}
			w.remove(&s[i])
		}
		if !w.empty() || w.last != nil {
			t.Errorf("without %d: somebody is left", gone)
		}
	}
}

// TestWindow: the server may send on and on while the stream is read, in
// frames with padding too, and never more than the window while it is not.
func TestWindow(t *testing.T) {
	const window = 8 << 10
	bubble(t, Config{Window: window}, func(t *testing.T, s *rawServer, c *Conn) {
		id, st := s.open(c)
		left := make(chan int, 1000)
		left <- window
		go func() {
			for f := s.next(); f != nil; f = s.next() {
				if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == id {
					left <- int(w.Increment)
				}
			}
		}()
		want := payload(64 << 10)
		go func() {
			have := 0
			for p := want; len(p) > 0; {
				for have < 300+11 {
					have += <-left
				}
				n := min(300, len(p))
				s.fr.WriteDataPadded(id, n == len(p), p[:n], make([]byte, 10))
				have -= n + 11
				p = p[n:]
			}
		}()
		got, err := io.ReadAll(st)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// TestWindowShrinks: SETTINGS may make a window negative (RFC 9113, 6.9.2).
func TestWindowShrinks(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		id, st := s.open(c)
		if n, err := st.Write(make([]byte, 100)); n != 100 || err != nil {
			t.Fatal(n, err)
		}
		s.next() // DATA
		s.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		synctest.Wait()
		c.mu.Lock()
		window := st.window
		c.mu.Unlock()
		if window != -90 {
			t.Errorf("window %d", window)
		}
		go st.Write([]byte("abc"))
		s.fr.WriteWindowUpdate(id, 91)
		if d := s.next().(*http2.DataFrame); string(d.Data()) != "a" {
			t.Errorf("%q", d.Data())
		}
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
}

// TestLargeRequest: a header over several frames, in turns of 16 KiB.
func TestLargeRequest(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		req := *request
		req.Header = map[string][]string{"Cookie": {string(bytes.Repeat([]byte("\x01"), 40<<10))}}
		go c.Open(t.Context(), &req)
		n, frames := 0, 0
		for {
			f := s.next()
			frames++
			if h, ok := f.(*http2.HeadersFrame); ok {
				n += len(h.HeaderBlockFragment())
			}
			if h, ok := f.(*http2.ContinuationFrame); ok {
				n += len(h.HeaderBlockFragment())
				if h.HeadersEnded() {
					break
				}
			}
		}
		if frames < 3 || n < 40<<10 {
			t.Error(frames, n)
		}
	})
}
