package h2

import (
	"bytes"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

func isReset(err error) bool   { return errors.Is(err, syscall.ECONNRESET) }
func isClosed(err error) bool  { return errors.Is(err, net.ErrClosed) }
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// TestPreface: what a server may say first.
func TestPreface(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(s *rawServer)
		want http2.ErrCode
	}{
		{"not SETTINGS", func(s *rawServer) { s.fr.WritePing(false, [8]byte{}) }, http2.ErrCodeProtocol},
		{"acknowledgment", func(s *rawServer) { s.fr.WriteSettingsAck() }, http2.ErrCodeProtocol},
		{"without RFC 8441", func(s *rawServer) { s.fr.WriteSettings() }, http2.ErrCodeNo},
		{"0", func(s *rawServer) { s.fr.WriteSettings(http2.Setting{ID: 8, Val: 0}) }, http2.ErrCodeNo},
		{"2", func(s *rawServer) { s.fr.WriteSettings(http2.Setting{ID: 8, Val: 2}) }, http2.ErrCodeProtocol},
		{"push", func(s *rawServer) { s.fr.WriteSettings(rfc8441, http2.Setting{ID: 2, Val: 1}) }, http2.ErrCodeProtocol},
		{"window", func(s *rawServer) { s.fr.WriteSettings(rfc8441, http2.Setting{ID: 4, Val: 1 << 31}) }, http2.ErrCodeFlowControl},
		{"frame size", func(s *rawServer) { s.fr.WriteSettings(rfc8441, http2.Setting{ID: 5, Val: 1}) }, http2.ErrCodeProtocol},
		{"HTTP/1.1", func(s *rawServer) { s.c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, http2.ErrCodeFrameSize},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, done := newRaw(t, Config{})
				test.send(s)
				if code := s.goAway(); code != test.want {
					t.Errorf("GOAWAY %v, want %v", code, test.want)
				}
				d := <-done
				if (d.err == ErrNoWebSocket) != (test.want == http2.ErrCodeNo) || d.err == nil {
					t.Errorf("New: %v", d.err)
				}
				s.c.Close()
			})
		})
	}
}

// TestHostileConnection: what ends the connection.
func TestHostileConnection(t *testing.T) {
	big := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		name string
		send func(s *rawServer, id uint32) // id is of an open stream
		want http2.ErrCode
	}{
		{"PUSH_PROMISE", func(s *rawServer, id uint32) {
			s.fr.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, EndHeaders: true, BlockFragment: s.block(":method", "GET")})
		}, http2.ErrCodeProtocol},
		{"DATA on stream 0", func(s *rawServer, id uint32) { s.fr.WriteRawFrame(http2.FrameData, 0, 0, nil) }, http2.ErrCodeProtocol},
		{"DATA on an idle stream", func(s *rawServer, id uint32) { s.fr.WriteData(id+2, false, nil) }, http2.ErrCodeProtocol},
		{"DATA on a stream of its own", func(s *rawServer, id uint32) { s.fr.WriteData(2, false, nil) }, http2.ErrCodeProtocol},
		{"HEADERS on an idle stream", func(s *rawServer, id uint32) { s.headers(id+2, false, ":status", "200") }, http2.ErrCodeProtocol},
		{"RST_STREAM on an idle stream", func(s *rawServer, id uint32) { s.fr.WriteRSTStream(id+2, 1) }, http2.ErrCodeProtocol},
		{"WINDOW_UPDATE on an idle stream", func(s *rawServer, id uint32) { s.fr.WriteWindowUpdate(id+2, 1) }, http2.ErrCodeProtocol},
		{"WINDOW_UPDATE 0", func(s *rawServer, id uint32) {
			s.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4))
		}, http2.ErrCodeProtocol},
		{"window overflow", func(s *rawServer, id uint32) { s.fr.WriteWindowUpdate(0, 1<<31-1) }, http2.ErrCodeFlowControl},
		{"window overflow by SETTINGS", func(s *rawServer, id uint32) {
			s.fr.WriteWindowUpdate(id, 1<<31-1-65535)
			s.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65536})
		}, http2.ErrCodeFlowControl},
		{"RFC 8441 taken back", func(s *rawServer, id uint32) { s.fr.WriteSettings(http2.Setting{ID: 8, Val: 0}) }, http2.ErrCodeProtocol},
		{"SETTINGS flood", func(s *rawServer, id uint32) {
			for range maxSettings + 2 {
				s.fr.WriteSettings()
			}
			for range maxSettings {
				s.fr.WriteSettings()
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"PING flood", func(s *rawServer, id uint32) {
			for range 2*maxChatter + 2 {
				s.fr.WritePing(false, [8]byte{})
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"PRIORITY flood", func(s *rawServer, id uint32) {
			for range 2*maxChatter + 2 {
				s.fr.WritePriority(id, http2.PriorityParam{})
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"unknown frame flood", func(s *rawServer, id uint32) {
			for range 2*maxChatter + 2 {
				s.fr.WriteRawFrame(0xbb, 0, 0, nil)
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"empty DATA flood", func(s *rawServer, id uint32) {
			for range 2*maxChatter + 2 {
				s.fr.WriteData(id, false, nil)
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"padding flood", func(s *rawServer, id uint32) {
			for range 2*maxChatter + 2 {
				s.fr.WriteDataPadded(id, false, nil, make([]byte, 9))
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"WINDOW_UPDATE flood", func(s *rawServer, id uint32) {
			for range 2*maxUpdates + 2 {
				s.fr.WriteWindowUpdate(id, 1)
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"RST_STREAM flood", func(s *rawServer, id uint32) {
			for range 2*maxChatter + 3 {
				s.fr.WriteRSTStream(id, 2)
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"CONTINUATION flood", func(s *rawServer, id uint32) {
			s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.block(":status", "200")})
			for range maxContinued + 1 {
				s.fr.WriteContinuation(id, false, nil)
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"endless header", func(s *rawServer, id uint32) {
			s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.block(":status", "200")})
			for range 40 {
				s.fr.WriteContinuation(id, false, s.block("x", big(5000)))
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"CONTINUATION without HEADERS", func(s *rawServer, id uint32) { s.fr.WriteContinuation(id, true, nil) }, http2.ErrCodeProtocol},
		{"HEADERS cut by another frame", func(s *rawServer, id uint32) {
			s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.block(":status", "200")})
			s.fr.WriteData(id, false, nil)
		}, http2.ErrCodeProtocol},
		{"undecodable header", func(s *rawServer, id uint32) {
			s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
		}, http2.ErrCodeCompression},
		{"field that is in no table", func(s *rawServer, id uint32) {
			s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: []byte{0x80}})
		}, http2.ErrCodeCompression},
		{"header cut inside a field", func(s *rawServer, id uint32) {
			s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: []byte{0x40, 0x05, 'a'}})
		}, http2.ErrCodeCompression},
		{"frame too large", func(s *rawServer, id uint32) {
			s.fr.WriteRawFrame(http2.FrameData, 0, id, make([]byte, readFrameSize+1))
		}, http2.ErrCodeFrameSize},
		{"all padding", func(s *rawServer, id uint32) {
			s.fr.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, id, []byte{3, 0, 0})
		}, http2.ErrCodeProtocol},
		{"padding without its length", func(s *rawServer, id uint32) {
			s.fr.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, id, nil)
		}, http2.ErrCodeFrameSize},
		{"malformed frame on an idle stream", func(s *rawServer, id uint32) {
			s.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, id+2, make([]byte, 4))
		}, http2.ErrCodeProtocol},
		{"GOAWAY flood", func(s *rawServer, id uint32) {
			for range 2*maxChatter + 2 {
				s.fr.WriteGoAway(id, 0, nil)
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"GOAWAY for more", func(s *rawServer, id uint32) {
			s.fr.WriteGoAway(id, 0, nil)
			s.fr.WriteGoAway(id+2, 0, nil)
		}, http2.ErrCodeProtocol},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
				id, st := s.open(c)
				go test.send(s, id) // the Conn may stop reading
				if code := s.goAway(); code != test.want {
					t.Errorf("GOAWAY %v, want %v", code, test.want)
				}
				if _, err := st.Read(make([]byte, 1)); err == nil {
					t.Error("the stream lives on")
				}
				<-c.closed
			})
		})
	}
}

// TestUnreadAnswers: a server that makes the client answer and does not read.
func TestUnreadAnswers(t *testing.T) {
	for name, last := range map[string]func(fr *http2.Framer) error{
		"PING":     func(fr *http2.Framer) error { return fr.WritePing(false, [8]byte{}) },
		"SETTINGS": func(fr *http2.Framer) error { return fr.WriteSettings() },
	} {
		bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
			_, st := s.open(c)
			c.nc.(interface{ SetWriteLimit(int64) }).SetWriteLimit(0)
			s.fr.WritePing(false, [8]byte{}) // the writer takes it and waits
			synctest.Wait()
			for range maxAcks {
				s.fr.WritePing(false, [8]byte{})
			}
			synctest.Wait()
			c.mu.Lock()
			if c.err != nil {
				t.Errorf("%d answers: %v", c.acks, c.err)
			}
			c.mu.Unlock()
			last(s.fr)
			if _, err := st.Read(make([]byte, 1)); !strings.Contains(err.Error(), "ENHANCE_YOUR_CALM") {
				t.Errorf("%s: %v", name, err)
			}
			<-c.closed // although not even GOAWAY could be written
		})
	}
}

// TestLateFrames: frames on a stream that is over, which the server may have
// sent before it knew, harm nobody.
func TestLateFrames(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		id, st := s.open(c)
		st.Abort()
		s.headers(id, false, ":status", "200", "in", "the table")
		s.fr.WriteData(id, false, []byte("x"))
		s.fr.WriteWindowUpdate(id, 1)
		s.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, id, make([]byte, 4)) // malformed
		s.fr.WriteRSTStream(id, http2.ErrCodeCancel)
		id, done := s.request(c)
		s.headers(id, true, ":status", "200", "in", "the table")
		if o := <-done; o.err != nil || o.resp.Header.Get("In") != "the table" {
			t.Error(o.resp, o.err)
		}
	})
}

// TestHostileStream: what ends a stream, and neither the connection nor the
// other streams.
func TestHostileStream(t *testing.T) {
	response := func(fields ...string) func(s *rawServer, id uint32) {
		return func(s *rawServer, id uint32) { s.headers(id, false, fields...) }
	}
	for _, test := range []struct {
		name string
		send func(s *rawServer, id uint32)
		want http2.ErrCode
	}{
		{"DATA before the response", func(s *rawServer, id uint32) { s.fr.WriteData(id, false, []byte("x")) }, http2.ErrCodeProtocol},
		{"no status", response("a", "b"), http2.ErrCodeProtocol},
		{"two statuses", response(":status", "200", ":status", "200"), http2.ErrCodeProtocol},
		{"status behind a field", response("a", "b", ":status", "200"), http2.ErrCodeProtocol},
		{"status 101", response(":status", "101"), http2.ErrCodeProtocol},
		{"status 20x", response(":status", "20x"), http2.ErrCodeProtocol},
		{"status 0200", response(":status", "0200"), http2.ErrCodeProtocol},
		{"interim response at the end", func(s *rawServer, id uint32) { s.headers(id, true, ":status", "103") }, http2.ErrCodeProtocol},
		{"unknown pseudo-header field", response(":status", "200", ":path", "/"), http2.ErrCodeProtocol},
		{"upper case", response(":status", "200", "Abc", "x"), http2.ErrCodeProtocol},
		{"bad name", response(":status", "200", "a b", "x"), http2.ErrCodeProtocol},
		{"bad value", response(":status", "200", "a", "x\r\ny: z"), http2.ErrCodeProtocol},
		{"connection-specific", response(":status", "200", "upgrade", "websocket"), http2.ErrCodeProtocol},
		{"header too large", func(s *rawServer, id uint32) {
			s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.block(":status", "200")})
			for range 20 {
				s.fr.WriteContinuation(id, false, s.block("x", strings.Repeat("x", 4000)))
			}
			s.fr.WriteContinuation(id, true, nil)
		}, http2.ErrCodeProtocol},
		{"header bomb", func(s *rawServer, id uint32) {
			s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.block(":status", "200", "x", strings.Repeat("x", 3000))})
			s.fr.WriteContinuation(id, true, bytes.Repeat([]byte{0x80 | 62}, 16000)) // the newest entry of the table
		}, http2.ErrCodeProtocol},
		{"interim responses", func(s *rawServer, id uint32) {
			for range maxInterim + 1 {
				s.headers(id, false, ":status", "103")
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"HEADERS inside", func(s *rawServer, id uint32) {
			s.headers(id, false, ":status", "200")
			s.headers(id, false, "a", "b")
		}, http2.ErrCodeProtocol},
		{"status in a trailer section", func(s *rawServer, id uint32) {
			s.headers(id, false, ":status", "200")
			s.headers(id, true, ":status", "200")
		}, http2.ErrCodeProtocol},
		{"DATA behind END_STREAM", func(s *rawServer, id uint32) {
			s.headers(id, true, ":status", "200")
			s.fr.WriteData(id, false, []byte("x"))
		}, http2.ErrCodeStreamClosed},
		{"HEADERS behind END_STREAM", func(s *rawServer, id uint32) {
			s.headers(id, true, ":status", "200")
			s.headers(id, true, "a", "b")
		}, http2.ErrCodeStreamClosed},
		{"more than the window", func(s *rawServer, id uint32) {
			s.headers(id, false, ":status", "200")
			s.fr.WriteData(id, false, make([]byte, 1024))
			s.fr.WriteData(id, false, make([]byte, 1))
		}, http2.ErrCodeFlowControl},
		{"WINDOW_UPDATE 0", func(s *rawServer, id uint32) {
			s.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, id, make([]byte, 4))
		}, http2.ErrCodeProtocol},
		{"window overflow", func(s *rawServer, id uint32) { s.fr.WriteWindowUpdate(id, 1<<31-1) }, http2.ErrCodeFlowControl},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, Config{Window: 1024}, func(t *testing.T, s *rawServer, c *Conn) {
				other, st := s.open(c)
				id, done := s.request(c)
				test.send(s, id)
				if code := s.reset(); code != test.want {
					t.Errorf("RST_STREAM %v, want %v", code, test.want)
				}
				o := <-done
				if o.err == nil {
					_, o.err = o.s.Write([]byte("x"))
				}
				if !isReset(o.err) || !strings.Contains(o.err.Error(), test.want.String()) {
					t.Errorf("%v, want %v", o.err, test.want)
				}
				s.fr.WriteData(id, false, []byte("too late"))
				s.fr.WriteData(other, false, []byte("x"))
				if n, err := st.Read(make([]byte, 2)); n != 1 || err != nil {
					t.Error("the other stream:", n, err)
				}
			})
		})
	}
}

// TestGoAway: open streams live on, what the server has not seen is tried
// again elsewhere.
func TestGoAway(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		id, st := s.open(c)
		_, done := s.request(c)
		s.fr.WriteGoAway(id, http2.ErrCodeNo, nil)
		if o := <-done; o.err != errUnused {
			t.Error("not seen by the server:", o.err)
		}
		if c.reserve() {
			t.Error("a further stream on the connection")
		}
		s.fr.WriteData(id, false, []byte("x"))
		if n, err := st.Read(make([]byte, 2)); n != 1 || err != nil {
			t.Error(n, err)
		}
		st.Close()
		<-c.closed
	})
}

// TestRefusedLate: a reset is ECONNRESET, whatever its code.
func TestRefusedLate(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		id, st := s.open(c)
		s.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		_, err := st.Read(make([]byte, 1))
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("RST_STREAM(REFUSED_STREAM) behind the response: %v", err)
		}
		_, st = s.open(c)
		s.fr.WriteGoAway(0, http2.ErrCodeNo, nil)
		_, err = st.Read(make([]byte, 1))
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("GOAWAY for less than has a response: %v", err)
		}
	})
}

// TestHeadersPadding: RFC 9113, 6.2 and 4.3.
func TestHeadersPadding(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		id, done := s.request(c)
		s.c.Write([]byte{0, 0, 2, 1, 4 | 8, 0, 0, 0, byte(id), 200, 0x88})
		if code := s.goAway(); code != http2.ErrCodeProtocol {
			t.Error(code)
		}
		<-done
	})
}
