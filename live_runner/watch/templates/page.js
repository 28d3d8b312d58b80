// Ask for the cards when a bar is decided, and every two seconds for the ages in them.
"use strict";

const EVERY_MS = 2000;
const now = document.getElementById("now");
const lost = document.getElementById("lost");
let asking = false;

async function draw() {
  if (asking || document.hidden) return;
  asking = true;
  try {
    const answer = await fetch("cards");
    if (!answer.ok) throw new Error(`found ${answer.status}`);
    now.innerHTML = await answer.text();
    lost.hidden = true;
    now.classList.remove("old");
  } catch (error) {
    if (lost.hidden) {
      lost.textContent = `The runner has not answered since ${new Date().toLocaleTimeString()}; what stands here is from before.`;
    }
    lost.hidden = false;
    now.classList.add("old");
  } finally {
    asking = false;
  }
}

function listen() {
  const socket = new WebSocket(new URL("ws/signal", location.href.replace(/^http/, "ws")));
  socket.onmessage = draw;
  socket.onclose = () => setTimeout(listen, EVERY_MS);
}

document.addEventListener("visibilitychange", draw);
setInterval(draw, EVERY_MS);
listen();
draw();
