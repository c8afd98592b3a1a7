package h2

import (
	"github.com/bodokaiser/walve/internal/stream"
	"golang.org/x/net/http2"
)

func (c *Conn) readWindowUpdate(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rate.over(&c.rate.updates, maxUpdates) {
		return connError(http2.ErrCodeEnhanceYourCalm, "too many WINDOW_UPDATEs")
	}
	n := int64(f.Increment)
	// 6.9.1: "A sender MUST NOT allow a flow-control window to exceed 2^31-1
	// octets. If a sender receives a WINDOW_UPDATE that causes a flow-control
	// window to exceed this maximum, it MUST terminate either the stream or the
	// connection".
	if f.StreamID == 0 {
		if c.window += n; c.window > maxWindow {
			return connError(http2.ErrCodeFlowControl, "the window of the connection overflows")
		}
		c.grantLocked()
		return nil
	}
	s, err := c.knownLocked(f.StreamID)
	if s == nil {
		return err
	}
	if s.window += n; s.window > maxWindow {
		s.resetLocked(http2.ErrCodeFlowControl, "the window of the stream overflows")
		return nil
	}
	stream.Signal(s.wwake)
	return nil
}

func (c *Conn) readSettings(f *http2.SettingsFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rate.over(&c.rate.settings, maxSettings) {
		return connError(http2.ErrCodeEnhanceYourCalm, "too many SETTINGS")
	}
	if f.IsAck() {
		return nil
	}
	var values [http2.SettingEnableConnectProtocol + 1]struct {
		v   uint32
		set bool
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if s.ID == http2.SettingInitialWindowSize || s.ID == http2.SettingMaxFrameSize {
			if err := s.Valid(); err != nil {
				return err
			}
		}
		// 6.5.2: a client "MUST treat receipt of a SETTINGS frame with
		// SETTINGS_ENABLE_PUSH set to 1 as a connection error"; RFC 8441, 3,
		// asks for no other value than 0 and 1, nor for 0 behind 1.
		if s.ID == http2.SettingEnablePush && s.Val != 0 {
			return connError(http2.ErrCodeProtocol, "SETTINGS_ENABLE_PUSH from a server")
		}
		if s.ID == http2.SettingEnableConnectProtocol {
			was := c.connect || values[s.ID].v == 1
			if s.Val > 1 || s.Val == 0 && was {
				return connError(http2.ErrCodeProtocol, "SETTINGS_ENABLE_CONNECT_PROTOCOL")
			}
		}
		if int(s.ID) < len(values) {
			values[s.ID].v, values[s.ID].set = s.Val, true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if v := values[http2.SettingHeaderTableSize]; v.set {
		c.enc.SetMaxDynamicTableSizeLimit(min(v.v, 4096))
		c.enc.SetMaxDynamicTableSize(min(v.v, 4096))
	}
	if v := values[http2.SettingMaxConcurrentStreams]; v.set {
		c.maxStreams = v.v
	}
	if v := values[http2.SettingMaxFrameSize]; v.set {
		c.maxFrame = v.v
	}
	if v := values[http2.SettingEnableConnectProtocol]; v.set {
		c.connect = v.v == 1
	}
	if v := values[http2.SettingInitialWindowSize]; v.set {
		if err := c.initialWindowLocked(int64(v.v)); err != nil {
			return err
		}
	}
	if !c.settled {
		c.settled = true
		close(c.ready)
	}
	if err := c.ackLocked(); err != nil {
		return err
	}
	// Behind what is queued, which does not know of these values: 6.5.3, the
	// server "can rely on the values having been applied" from here on.
	c.frame(func(fr *http2.Framer) { fr.WriteSettingsAck() })
	return nil
}

// initialWindowLocked is 6.9.2: "a receiver MUST adjust the size of all stream
// flow-control windows that it maintains by the difference between the new
// value and the old value", which may make them negative.
func (c *Conn) initialWindowLocked(v int64) error {
	delta := v - c.initWindow
	c.initWindow = v
	for _, s := range c.streams {
		if s.window += delta; s.window > maxWindow {
			return connError(http2.ErrCodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE makes a window overflow")
		}
		if delta > 0 {
			stream.Signal(s.wwake)
		}
	}
	return nil
}
