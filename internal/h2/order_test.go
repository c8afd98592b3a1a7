package h2

import (
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// TestSettingsAckOrder: the acknowledgment of SETTINGS does not overtake what
// was queued before those were read. A server applies them when it comes (RFC
// 9113, 6.5.3), and would take DATA behind it for more than the window, and a
// header for one that was compressed with too large a table.
func TestSettingsAckOrder(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		_, st := s.open(c)
		limit := c.nc.(interface{ SetWriteLimit(int64) }).SetWriteLimit
		limit(0)
		st.Write([]byte("a")) // the writer takes it and waits
		synctest.Wait()
		if n, err := st.Write([]byte("bc")); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		go c.Open(t.Context(), request)
		synctest.Wait()
		s.fr.WriteSettings(
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1},
			http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0},
		)
		synctest.Wait()
		limit(-1)
		var got []http2.FrameType
		for acked := false; !acked; {
			f, err := s.fr.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, f.Header().Type)
			acked = f.Header().Type == http2.FrameSettings
		}
		if len(got) != 4 || got[2] != http2.FrameHeaders {
			t.Errorf("before the acknowledgment: %v, want two times DATA, and HEADERS", got)
		}
	})
}
