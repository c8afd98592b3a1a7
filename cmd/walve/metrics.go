package main

import (
	"errors"
	"expvar"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/frames"
)

// metrics is what /debug/vars shows as "walve".
type metrics struct {
	total             expvar.Int // tunnels ever opened
	sent, received    expvar.Int // bytes of tunnels that have ended
	targetFailures    expvar.Int // targets that could not be connected to
	handshakeFailures expvar.Map // by the status of the answer, or "network"
	closeCodes        expvar.Map // by status code, as peers sent them; 1006: none
	frames            frames.Counts
}

func newMetrics() *metrics {
	m := new(metrics)
	m.handshakeFailures.Init()
	m.closeCodes.Init()
	return m
}

// countHandshakeFailure counts err, of Upgrade or a Dialer.
func (m *metrics) countHandshakeFailure(err error) {
	var refused *walve.HandshakeError
	if errors.As(err, &refused) && refused.StatusCode != 0 {
		m.handshakeFailures.Add(strconv.Itoa(refused.StatusCode), 1)
		return
	}
	m.handshakeFailures.Add("network", 1)
}

// countClose counts how the peer has ended conn.
func (m *metrics) countClose(conn *walve.Conn) {
	code, _, ok := conn.CloseStatus()
	if !ok {
		code = walve.StatusAbnormalClosure
	}
	m.closeCodes.Add(strconv.Itoa(int(code)), 1)
}

// vars is m and ts in one picture: bytes are payload, frames are counted with
// the control frames among them, when one begins.
func (m *metrics) vars(ts *tunnels) expvar.Func {
	return func() any {
		open, sent, received := ts.count()
		return map[string]any{
			"connections_open":   open,
			"connections_total":  m.total.Value(),
			"bytes_sent":         sent,
			"bytes_received":     received,
			"frames_sent":        m.frames.Sent.Load(),
			"frames_received":    m.frames.Received.Load(),
			"handshake_failures": rawVar{&m.handshakeFailures},
			"target_failures":    m.targetFailures.Value(),
			"close_codes":        rawVar{&m.closeCodes},
		}
	}
}

// rawVar is an expvar.Var inside JSON.
type rawVar struct{ expvar.Var }

func (v rawVar) MarshalJSON() ([]byte, error) { return []byte(v.String()), nil }

type debugFlags struct{ address string }

func (f *debugFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.address, "debug", "", "serve /debug/vars (expvar: connections, bytes, frames of all kinds, failed handshakes,\nclose codes) and /debug/pprof at this `address`, such as 127.0.0.1:6060; whoever can\nconnect there can read this process's memory")
}

// start serves what the flag says, until the process ends. It is called before
// there is a connection.
func (f *debugFlags) start(log *slog.Logger, m *metrics, ts *tunnels) error {
	if f.address == "" {
		return nil
	}
	inner, err := net.Listen("tcp", f.address)
	if err != nil {
		return err
	}
	frames.Counted = &m.frames
	expvar.Publish("walve", m.vars(ts))
	mux := http.NewServeMux()
	mux.Handle("/debug/vars", expvar.Handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(inner)
	log.Info("debugging", "url", "http://"+inner.Addr().String()+"/debug/vars")
	if addr, ok := inner.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() {
		log.Warn("the debug address can be reached from other machines", "address", addr.String())
	}
	return nil
}
