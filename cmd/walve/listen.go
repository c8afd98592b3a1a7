package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/origin"
)

const listenUsage = `
walve listen accepts WebSockets and connects each to a TCP or unix socket.

Usage:

    walve listen [flags] URL TARGET [URL TARGET]...
    walve listen [flags] -allow NAME=TARGET [-allow NAME=TARGET]... URL

A URL is ws://[HOST]:PORT/PATH, or wss:// for TLS, which needs -tls-cert and
-tls-key, or ws+unix:///SOCKET:/PATH behind a web server on this machine. Without
HOST it is all addresses of this machine. The path of a request must be PATH
exactly. URLs with the same port share it.

A TARGET is tcp://HOST:PORT or unix:///SOCKET. It is connected to before the
WebSocket is accepted: if that fails the client gets 502. Behind a URL without
TARGET clients choose from the targets of -allow by name: with

    walve listen -allow ssh=tcp://127.0.0.1:22 -allow db=unix:///run/pg.sock ws://:8080/to/

/to/ssh and /to/db are there, and nothing else. Each direction of a tunnel lasts
until its own end if the client is walve too; other clients close both at once.

SIGTERM and SIGINT stop gracefully: no new connections, time (-drain) for those
that are there to end, then 1001 for the rest. A second signal ends at once.

Examples:

    walve listen ws://127.0.0.1:8080/ssh tcp://127.0.0.1:22
    walve listen -auth-file tokens -tls-cert cert.pem -tls-key key.pem \
        wss://:443/ssh tcp://127.0.0.1:22 wss://:443/db tcp://127.0.0.1:5432
    walve listen -trusted-proxy 127.0.0.1 -log json ws://127.0.0.1:8080/ssh tcp://127.0.0.1:22
`

// listenFlags are those of walve listen.
type listenFlags struct {
	log            logFlags
	debug          debugFlags
	cert, key      string
	allow          map[string]target
	authFile       string
	proxies        trustedProxies
	origins        []string
	connectTimeout time.Duration
	keepAlive      time.Duration
	drain          time.Duration
	max            int
}

func (f *listenFlags) register(fs *flag.FlagSet) {
	f.allow = make(map[string]target)
	fs.StringVar(&f.cert, "tls-cert", "", "a `file` with the certificate (PEM) and its chain, for wss")
	fs.StringVar(&f.key, "tls-key", "", "a `file` with its private key (PEM)")
	fs.Func("allow", "a target that clients may choose, as `NAME=TARGET`, or TARGET with its address\nfor a name; may be repeated", func(s string) error {
		return parseAllow(f.allow, s)
	})
	fs.StringVar(&f.authFile, "auth-file", "", "a `file` with who may connect, a line each: a bearer token, or user:password for\nBasic; lines that begin with # do not count. Others get 401")
	fs.Func("trusted-proxy", "`networks` of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8,::1, and\nunix for those that connect through a unix socket; may be repeated (default: none)", f.proxies.parse)
	fs.Func("origin", "an `origin` such as https://app.example.com whose pages may connect, or * for all; may be\nrepeated (default: that of the server itself; programs need none)", func(s string) error {
		f.origins = append(f.origins, s)
		return nil
	})
	fs.DurationVar(&f.connectTimeout, "connect-timeout", 10*time.Second, "the most `time` that connecting to a target may take")
	fs.DurationVar(&f.keepAlive, "keepalive", 30*time.Second, "the `time` a connection is idle before a Ping, half of what proxies allow at most;\n0: no Pings")
	fs.DurationVar(&f.drain, "drain", 10*time.Second, "the `time` that connections have to end after SIGTERM")
	fs.IntVar(&f.max, "max", 0, "the `number` of connections that there may be at a time; others get 503 (default: any)")
	f.log.register(fs)
	f.debug.register(fs)
}

func runListen(e *env, args []string) error {
	var f listenFlags
	fs := flag.NewFlagSet("listen", flag.ContinueOnError)
	f.register(fs)
	if err := e.parse(fs, args); err != nil {
		return err
	}
	endpoints, err := parseMappings(fs.Args(), f.allow)
	if err != nil {
		return err
	}
	log, err := f.log.logger(e.stderr)
	if err != nil {
		return err
	}
	config, err := f.tlsConfig(endpoints)
	if err != nil {
		return err
	}
	m := newMetrics()
	s := &server{log: log, metrics: m, tunnels: newTunnels(m, f.max), proxies: f.proxies, connectTimeout: f.connectTimeout}
	s.upgrader.CheckOrigin = f.checkOrigin()
	if s.upgrader.KeepAlive = f.keepAlive; f.keepAlive == 0 {
		s.upgrader.KeepAlive = -1
	}
	if f.authFile != "" {
		list, err := readAuthFile(f.authFile)
		if err != nil {
			return err
		}
		s.auth = newAuthenticator(list)
	}
	if err := f.debug.start(log, m, s.tunnels); err != nil {
		return err
	}
	return s.serve(e.stop, endpoints, config, f.drain)
}

// tlsConfig returns nil if no endpoint has TLS.
func (f *listenFlags) tlsConfig(endpoints []*endpoint) (*tls.Config, error) {
	secure := slices.ContainsFunc(endpoints, func(ep *endpoint) bool { return ep.secure })
	switch {
	case !secure && f.cert+f.key != "":
		return nil, usagef("-tls-cert and -tls-key are for wss, and there is no wss:// URL")
	case !secure:
		return nil, nil
	case f.cert == "" || f.key == "":
		return nil, usagef("wss needs -tls-cert and -tls-key")
	}
	pair, err := loadKeyPair("-tls-cert", f.cert, "-tls-key", f.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}, nil
}

// checkOrigin returns nil, walve's default, if there is no -origin.
func (f *listenFlags) checkOrigin() func(*http.Request) bool {
	if len(f.origins) == 0 {
		return nil
	}
	return func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		return origin == "" || slices.ContainsFunc(f.origins, func(o string) bool {
			return o == "*" || strings.EqualFold(o, origin)
		})
	}
}

// serve listens until stop ends, and then for as long as draining takes.
func (s *server) serve(stop context.Context, endpoints []*endpoint, config *tls.Config, drain time.Duration) error {
	var inner []net.Listener
	var servers []*http.Server
	defer func() {
		for _, srv := range servers {
			srv.Close()
		}
	}()
	defer func() {
		for _, ln := range inner {
			ln.Close()
		}
	}()
	for _, ep := range endpoints {
		ln, err := net.Listen(ep.network, ep.address)
		if err != nil {
			return err
		}
		inner = append(inner, ln)
	}
	failed := make(chan error, len(endpoints))
	var writeTimeout time.Duration // for who reads no answers; Upgrade lifts it
	if s.connectTimeout > 0 {
		writeTimeout = s.connectTimeout + 10*time.Second
	}
	for i, ep := range endpoints {
		srv := &http.Server{
			WriteTimeout:      writeTimeout,
			Handler:           s.handler(ep),
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    64 << 10,
			// Strangers can cause these lines as often as they like.
			ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		}
		servers = append(servers, srv)
		ln := inner[i]
		if ep.secure {
			ln = tls.NewListener(ln, config)
		}
		go func() { failed <- srv.Serve(ln) }()
		for _, r := range ep.routes {
			if r.allow == nil {
				s.log.Info("listening", "url", ep.url(ln.Addr(), r.path), "target", r.target.String())
			}
			for name, t := range r.allow {
				s.log.Info("listening", "url", ep.url(ln.Addr(), r.path+name), "target", t.String())
			}
		}
	}
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	for _, ln := range inner {
		ln.Close()
	}
	inner = nil
	s.drain(stop, drain)
	return nil
}

// drain stops gracefully.
func (s *server) drain(stop context.Context, limit time.Duration) {
	open, _, _ := s.tunnels.count()
	s.log.Info("stopping", "because", context.Cause(stop).Error(), "connections", open, "limit", limit.String())
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cut := s.tunnels.drain(ctx)
	s.log.Info("stopped", "cut", cut)
}

// A server connects WebSockets to targets.
type server struct {
	log            *slog.Logger
	metrics        *metrics
	tunnels        *tunnels
	auth           *authenticator
	proxies        trustedProxies
	upgrader       walve.Upgrader
	connectTimeout time.Duration
}

func (s *server) handler(ep *endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && r.ContentLength != 0 {
			// net/http reads the rest of a body behind the answer.
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Second))
		}
		r.RemoteAddr = s.proxies.clientAddr(r)
		log := s.log.With("client", r.RemoteAddr, "path", r.URL.Path)
		if !s.auth.allows(r) {
			// Before the path is looked at: who may not come in does not
			// learn what there is.
			s.metrics.handshakeFailures.Add("401", 1)
			log.Debug("refused", "status", http.StatusUnauthorized)
			s.auth.challenge(w)
			return
		}
		t, ok := ep.find(r.URL.Path)
		if !ok {
			s.metrics.handshakeFailures.Add("404", 1)
			log.Debug("refused", "status", http.StatusNotFound)
			http.Error(w, "nothing is forwarded at this path", http.StatusNotFound)
			return
		}
		s.forward(w, r, t, log.With("target", t.String()))
	})
}

// forward connects the request's WebSocket to t, and returns as soon as it is
// one.
func (s *server) forward(w http.ResponseWriter, r *http.Request, t target, log *slog.Logger) {
	if !namesWebSocket(r.Header["Upgrade"]) || !s.allowsOrigin(r) {
		// Upgrade refuses that, and the target need not know.
		_, err := s.upgrader.Upgrade(w, r)
		s.metrics.countHandshakeFailure(err)
		log.Debug("refused", "error", err.Error())
		return
	}
	if !s.tunnels.admit() {
		s.metrics.handshakeFailures.Add("503", 1)
		w.Header().Set("Retry-After", "1")
		http.Error(w, "no more connections now", http.StatusServiceUnavailable)
		return
	}
	local, err := s.connect(r.Context(), t)
	if err != nil {
		s.tunnels.giveUp()
		if r.Context().Err() != nil {
			log.Debug("the client gave up")
			s.metrics.countHandshakeFailure(err)
			return
		}
		status := http.StatusBadGateway
		if errors.Is(err, context.DeadlineExceeded) {
			status = http.StatusGatewayTimeout
		}
		s.metrics.targetFailures.Add(1)
		logError(log, slog.LevelWarn, "the target cannot be reached", err)
		http.Error(w, "the target cannot be reached", status)
		return
	}
	ws, err := s.upgrader.Upgrade(w, r)
	if err != nil {
		s.tunnels.giveUp()
		local.Close()
		s.metrics.countHandshakeFailure(err)
		log.Debug("refused", "error", err.Error())
		return
	}
	// r is net/http's again when this returns.
	tn := &tunnel{ws: ws, local: local, halfClose: hasHalfClose(r.Header), failCode: walve.StatusBadGateway}
	go s.tunnels.runLogged(tn, log)
}

// allowsOrigin is what Upgrade checks.
func (s *server) allowsOrigin(r *http.Request) bool {
	if check := s.upgrader.CheckOrigin; check != nil {
		return check(r)
	}
	return origin.Same(r)
}

// namesWebSocket is as lenient as Upgrade: what it takes must not get past.
func namesWebSocket(upgrade []string) bool {
	for protocol := range strings.SplitSeq(strings.Join(upgrade, ","), ",") {
		if strings.EqualFold(strings.TrimSpace(protocol), "websocket") {
			return true
		}
	}
	return false
}

// connect connects to t; it gives up when the client does.
func (s *server) connect(ctx context.Context, t target) (closeWriter, error) {
	if s.connectTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.connectTimeout)
		defer cancel()
	}
	c, err := new(net.Dialer).DialContext(ctx, t.network, t.address)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return c.(closeWriter), nil // tcp and unix are
}

// runLogged is run, with a log line at the beginning and the end.
func (ts *tunnels) runLogged(t *tunnel, log *slog.Logger) {
	start := time.Now()
	log.Debug("connected")
	err := ts.run(t)
	args := []any{"sent", t.sent.Load(), "received", t.received.Load(), "after", time.Since(start).Round(time.Millisecond).String()}
	if err != nil {
		logError(log, slog.LevelInfo, "connection failed", err, args...)
		return
	}
	log.Debug("connection ended", args...)
}
