package main

import (
	"net"
	"net/url"
	"strings"
)

// A target is what a WebSocket is connected to.
type target struct{ network, address string }

func (t target) String() string {
	if t.network == "unix" {
		return "unix://" + t.address
	}
	return t.network + "://" + t.address
}

// parseTarget parses tcp://host:port and unix:///path.
func parseTarget(s string) (target, error) {
	network, address, ok := strings.Cut(s, "://")
	if !ok {
		network, address, ok = strings.Cut(s, ":")
		ok = ok && network == "unix"
	}
	switch {
	case ok && network == "unix" && address != "":
		return target{network, address}, nil
	case ok && network == "tcp":
		if host, port, err := net.SplitHostPort(address); err == nil && port != "" {
			if host == "" {
				address = net.JoinHostPort("127.0.0.1", port)
			}
			return target{network, address}, nil
		}
	}
	return target{}, usagef("%q is not a target such as tcp://127.0.0.1:22 or unix:///run/app.sock", s)
}

// An endpoint is a socket to listen on, with the routes that share it.
type endpoint struct {
	secure           bool
	network, address string
	routes           []route
}

// A route says where the requests for a path go.
type route struct {
	path   string
	target target
	// allow is the set to choose from, by what follows path in the request;
	// nil: target.
	allow map[string]target
}

// find returns the target for a request's path.
func (ep *endpoint) find(path string) (target, bool) {
	for _, r := range ep.routes {
		if r.allow == nil {
			if path == r.path {
				return r.target, true
			}
			continue
		}
		if name, ok := strings.CutPrefix(path, r.path); ok {
			if t, ok := r.allow[name]; ok {
				return t, true
			}
		}
	}
	return target{}, false
}

// url is what clients connect to, once addr is known.
func (ep *endpoint) url(addr net.Addr, path string) string {
	scheme := "ws"
	if ep.secure {
		scheme = "wss"
	}
	if ep.network == "unix" {
		return scheme + "+unix://" + ep.address + ":" + path
	}
	return scheme + "://" + addr.String() + path
}

// parseAllow adds NAME=TARGET, or a target whose name is its address, to set.
func parseAllow(set map[string]target, s string) error {
	name, rest, named := strings.Cut(s, "=")
	if !named {
		rest = s
	}
	t, err := parseTarget(rest)
	if err != nil {
		return err
	}
	if !named {
		name = strings.TrimPrefix(t.address, "/")
	}
	if name == "" {
		return usagef("-allow %q: there is no name before the =", s)
	}
	if old, ok := set[name]; ok && old != t {
		return usagef("-allow %q: there are two targets with this name", s)
	}
	set[name] = t
	return nil
}

// parseMappings parses URL TARGET [URL TARGET]..., where a URL without a target
// chooses from allow.
func parseMappings(args []string, allow map[string]target) ([]*endpoint, error) {
	var endpoints []*endpoint
	used := false
	for len(args) > 0 {
		ep, path, err := parseListenURL(args[0])
		if err != nil {
			return nil, err
		}
		r := route{path: path}
		if len(args) > 1 && !isListenURL(args[1]) {
			if r.target, err = parseTarget(args[1]); err != nil {
				return nil, err
			}
			args = args[2:]
		} else {
			if len(allow) == 0 {
				return nil, usagef("%s has no target behind it, and there is no -allow", args[0])
			}
			if !strings.HasSuffix(r.path, "/") {
				r.path += "/"
			}
			r.allow, used = allow, true
			args = args[1:]
		}
		if endpoints, err = addRoute(endpoints, ep, r); err != nil {
			return nil, err
		}
	}
	switch {
	case len(endpoints) == 0:
		return nil, usagef("what is to be forwarded? For example: walve listen ws://:8080/ssh tcp://127.0.0.1:22")
	case len(allow) > 0 && !used:
		return nil, usagef("-allow is not used: every URL has a target of its own")
	}
	return endpoints, nil
}

func addRoute(endpoints []*endpoint, ep *endpoint, r route) ([]*endpoint, error) {
	for _, other := range endpoints {
		if other.network != ep.network || other.address != ep.address {
			continue
		}
		if other.secure != ep.secure {
			return nil, usagef("%s cannot have both ws and wss", ep.address)
		}
		for _, o := range other.routes {
			if o.path == r.path && (o.allow == nil) == (r.allow == nil) {
				return nil, usagef("%s%s stands there twice", ep.address, r.path)
			}
		}
		other.routes = append(other.routes, r)
		return endpoints, nil
	}
	ep.routes = []route{r}
	return append(endpoints, ep), nil
}

func isListenURL(s string) bool {
	scheme, _, _ := strings.Cut(s, ":")
	switch scheme {
	case "ws", "wss", "http", "https", "ws+unix", "wss+unix":
		return true
	}
	return false
}

func parseListenURL(s string) (*endpoint, string, error) {
	u, err := url.Parse(s)
	if err != nil || !isListenURL(s) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, "", usagef("%q is not a URL to listen on such as ws://:8080/path", s)
	}
	ep := &endpoint{network: "tcp", secure: strings.HasPrefix(u.Scheme, "wss") || u.Scheme == "https"}
	path := u.Path
	if strings.HasSuffix(u.Scheme, "+unix") {
		ep.network = "unix"
		if ep.address, path, _ = strings.Cut(u.Path, ":"); ep.address == "" || u.Host != "" {
			return nil, "", usagef("%q has no path of a socket, as in ws+unix:///run/walve.sock:/path", s)
		}
	} else {
		if u.Host == "" {
			return nil, "", usagef("%q has neither host nor port: write ws://:8080/path for all addresses of this machine", s)
		}
		port := u.Port()
		switch {
		case port != "":
		case ep.secure:
			port = "443"
		default:
			port = "80"
		}
		ep.address = net.JoinHostPort(u.Hostname(), port)
	}
	if path == "" {
		path = "/"
	}
	return ep, path, nil
}
