// npm run build: the set-up of npm start and npm test, and nothing after it.
import { setUp } from './set-up.mjs';

setUp();
