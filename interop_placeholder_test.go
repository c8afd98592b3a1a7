package walve_test

import _ "github.com/gorilla/websocket"
